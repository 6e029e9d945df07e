import { join, resolve } from "node:path";
import { MongoClient, MongoServerError, type Db, type Document } from "mongodb";
import { findMongod } from "./mongod-binary.ts";
import { startMongod, type MongodProcess } from "./mongod-process.ts";
import { until } from "./running-process.ts";

/** How {@link startDatabase} starts a server of its own; none of it matters under `MONGODB_URI`. */
export interface DatabaseOptions {
  /** The data stays here, and the next start finds it. */
  readonly dataDirectory: string;
  /** Members of the replica set. @default 1 */
  readonly members?: 1 | 3;
  /** Allows commands made for tests, such as `failCommand`. @default false */
  readonly testCommands?: boolean;
  /** Whether documents past their time are removed. @default true */
  readonly ttlMonitor?: boolean;
  /** Told which database was taken. @default console.log */
  readonly log?: (line: string) => void;
}

/** A replica set that has a primary. */
export interface Database {
  /** Names no database: callers choose theirs. */
  readonly uri: string;
  /** One line that says which database this is and where its data lie. */
  readonly description: string;
  /** Leaves a database alone that was not started here. */
  stop(): Promise<void>;
}

const replicaSet = "polyfactor";
const completeMs = 30_000;
const settings = { electionTimeoutMillis: 2_000, heartbeatIntervalMillis: 500 };
const states = { primary: 1, secondary: 2 };
const notYetInitialized = 94;

/** Takes the database at `MONGODB_URI`, or else starts a replica set on this machine. */
export async function startDatabase(options: DatabaseOptions): Promise<Database> {
  const { log = console.log } = options;
  const database = givenDatabase() ?? (await ownDatabase(options, log));
  log(database.description);
  return database;
}

/** Whether a connection string says which database it is for. */
export function namesDatabase(uri: string): boolean {
  return /^mongodb(?:\+srv)?:\/\/[^/?]+\/[^?]+/.test(uri);
}

function givenDatabase(): Database | undefined {
  const uri = process.env.MONGODB_URI;
  if (!uri) return undefined;

  const address = uri.replace(/\/\/[^/]*@/, "//").replace(/\?.*/, "");
  return { uri, description: `MongoDB at ${address} (MONGODB_URI)`, stop: async () => {} };
}

async function ownDatabase(
  options: DatabaseOptions,
  log: (line: string) => void,
): Promise<Database> {
  const { members = 1, testCommands = false, ttlMonitor = true } = options;
  const dataDirectory = resolve(options.dataDirectory);
  const binary = await findMongod(log);
  const parameters = [
    `ttlMonitorEnabled=${String(ttlMonitor)}`,
    ...(testCommands ? ["enableTestCommands=1"] : []),
  ];

  const running: MongodProcess[] = [];
  const stop = async () => {
    await Promise.all(running.map((mongod) => mongod.stop()));
  };
  try {
    for (let member = 1; member <= members; member += 1) {
      const folder = join(dataDirectory, String(member));
      running.push(await startMongod({ binary: binary.path, folder, replicaSet, parameters }));
    }
    const hosts = running.map(({ port }) => `127.0.0.1:${String(port)}`);
    await formReplicaSet(hosts);

    const address = `mongodb://${hosts.join(",")}`;
    return {
      uri: `${address}/?replicaSet=${replicaSet}&retryWrites=true`,
      description: `MongoDB ${binary.version} ${binary.origin} at ${address}, data in ${dataDirectory}`,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Data from an earlier run carry the ports of that run, so the set is told its new ones by force. */
async function formReplicaSet(hosts: readonly string[]): Promise<void> {
  const client = new MongoClient(`mongodb://${String(hosts[0])}/?directConnection=true`);
  const admin = client.db("admin");
  const members = hosts.map((host, _id) => ({ _id, host }));
  try {
    const known = await knownConfiguration(admin);
    if (known === undefined) {
      await admin.command({ replSetInitiate: { _id: replicaSet, members, settings } });
    } else {
      await admin.command({ replSetReconfig: { ...known, members }, force: true });
    }
    if (!(await until(() => isComplete(admin), completeMs))) {
      throw new Error(`The replica set at ${hosts.join(", ")} has no primary`);
    }
  } finally {
    await client.close();
  }
}

async function knownConfiguration(admin: Db): Promise<Document | undefined> {
  try {
    const { config } = (await admin.command({ replSetGetConfig: 1 })) as { config: Document };
    return config;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === notYetInitialized) return undefined;
    throw error;
  }
}

async function isComplete(admin: Db): Promise<boolean> {
  const status = (await admin.command({ replSetGetStatus: 1 })) as { members: { state: number }[] };
  const reached = status.members.map(({ state }) => state);
  return (
    reached.includes(states.primary) &&
    reached.every((state) => state === states.primary || state === states.secondary)
  );
}
