import { randomUUID } from "node:crypto";
import type { TestContext } from "node:test";
import mongoose from "mongoose";
import { createAuth, type AuthOptions } from "../../lib/index.ts";
import { mongooseStore, type MongooseStoreOptions } from "../../lib/store/mongoose.ts";
import { openAuth, type OpenedAuth } from "./auth.ts";

/** What the server does to the next commands of an app, by the server's own `failCommand`. */
export interface Fault {
  readonly failCommands: readonly string[];
  readonly errorCode?: number;
  readonly closeConnection?: boolean;
  readonly writeConcernError?: object;
  readonly blockConnection?: boolean;
  readonly blockTimeMS?: number;
}

/** A core whose commands, and nobody else's, can be made to fail. */
export interface FaultyAuth extends OpenedAuth {
  /** The next commands of these names fail; the first `skip` of them do not. @param times @default always */
  readonly fail: (fault: Fault, mode?: { times: number } | { skip: number }) => Promise<void>;
  readonly heal: () => Promise<void>;
}

/** Opens a core on a connection with a name of its own, by which faults find it. */
export async function openFaultyAuth(
  t: TestContext,
  overrides: Partial<AuthOptions> = {},
  storeOptions: MongooseStoreOptions = {},
): Promise<FaultyAuth> {
  const opened = await openAuth(t, overrides);
  const appName = `faulty-${randomUUID()}`;
  const connection = await mongoose
    .createConnection(opened.uri, {
      dbName: opened.connection.name,
      appName,
      monitorCommands: true,
    })
    .asPromise();
  const auth = createAuth({ ...opened.options, store: mongooseStore(connection, storeOptions) });

  const admin = opened.connection.getClient().db("admin");
  const heal = async (): Promise<void> => {
    await admin.command({ configureFailPoint: "failCommand", mode: "off" });
  };
  opened.beforeClose(async () => {
    await heal();
    await auth.close();
    await connection.close();
  });
  return {
    ...opened,
    connection,
    auth,
    calls: auth.tenant("main"),
    heal,
    async fail(fault, mode) {
      await admin.command({
        configureFailPoint: "failCommand",
        mode: mode ?? "alwaysOn",
        data: { ...fault, appName },
      });
    },
    async mails(kind) {
      await auth.close();
      return opened.mails(kind);
    },
    async auditEvents() {
      await auth.close();
      return opened.auditEvents();
    },
  };
}
