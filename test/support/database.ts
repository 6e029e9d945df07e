import { randomUUID } from "node:crypto";
import { after, type TestContext } from "node:test";
import type { CommandStartedEvent, MongoClient } from "mongodb";
import mongoose, { type Connection } from "mongoose";
import type { Database } from "../../example-app/database.ts";
import { sharedServerVariable, startTestServer } from "./server.ts";

/** A database of the caller's own, on a server shared with other tests. */
export interface TestDatabase {
  readonly connection: Connection;
  /** The server's address; the database is `connection.name`. */
  readonly uri: string;
  readonly commands: CommandRecorder;
  /** Drops the database and closes the connection. */
  close(): Promise<void>;
}

/** Counts round trips. */
export interface CommandRecorder {
  /** The commands sent while `work` ran, without those the driver and the indexes cause. */
  during(work: () => Promise<unknown>): Promise<CommandStartedEvent[]>;
}

const housekeeping = new Set([
  ...["hello", "isMaster", "ismaster", "ping", "endSessions"],
  ...["create", "createIndexes", "listIndexes"],
]);

/** Opens an empty database; with a test's context it is closed when that test ends. */
export async function openDatabase(t?: TestContext): Promise<TestDatabase> {
  const uri = process.env[sharedServerVariable] ?? (await ownServer()).uri;
  const connection = await mongoose
    .createConnection(uri, {
      dbName: `polyfactor-test-${randomUUID()}`,
      serverSelectionTimeoutMS: 3_000,
      monitorCommands: true,
    })
    .asPromise();

  const close = async () => {
    await connection.dropDatabase();
    await connection.close();
  };
  t?.after(close);
  return { connection, uri, commands: commandRecorder(connection.getClient()), close };
}

function commandRecorder(client: MongoClient): CommandRecorder {
  return {
    async during(work) {
      const commands: CommandStartedEvent[] = [];
      const record = (event: CommandStartedEvent) => {
        if (!housekeeping.has(event.commandName)) commands.push(event);
      };
      client.on("commandStarted", record);
      try {
        await work();
      } finally {
        client.off("commandStarted", record);
      }
      return commands;
    },
  };
}

/** A test file that is run by hand has no run to share a server with. */
let started: Promise<Database> | undefined;

function ownServer(): Promise<Database> {
  started ??= startTestServer();
  return started;
}

after(async () => {
  await (await started)?.stop();
});
