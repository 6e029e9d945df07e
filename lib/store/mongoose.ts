import type { Account } from "../account.ts";
import type { AuditEvent } from "../audit.ts";
import { callOut } from "../deadline.ts";
import {
  DECISIVE,
  isDuplicate,
  MAJORITY,
  mongoRecords,
  type NativeCollection,
} from "./mongo-records.ts";
import type { Store, TenantStore } from "./port.ts";
import { modelsOn, type Connection, type Model, type Models } from "./models.ts";

/** How the store uses the host's connection. */
export interface MongooseStoreOptions {
  /** Begins the names of the four collections. @default "polyfactor_" */
  readonly prefix?: string;
  /** Days that audit events are kept. @default 365 */
  readonly auditDays?: number;
  /** Milliseconds that one call may take. @default 3000 */
  readonly deadline?: number;
}

/** Milliseconds after which a pointer that its account does not list is free. */
const POINTER_SETTLES = 60_000;
const DAY = 86_400_000;
/** Days that the budget of a name without account is kept after its last charge. */
const UNKNOWN_LIVES = 30 * DAY;

const WRITE = { writeConcern: MAJORITY, maxTimeMS: 3000 } as const;

interface IdentifierDocument {
  readonly account?: string;
  readonly claimedAt?: number;
}

/** The driver's collection, as far as the store uses it. */
interface Collection extends NativeCollection {
  insertOne(document: object, options: object): PromiseLike<unknown>;
  insertMany(documents: readonly object[], options: object): PromiseLike<unknown>;
  deleteOne(filter: object, options: object): PromiseLike<unknown>;
  createIndex(keys: object, options: object): PromiseLike<unknown>;
}

/**
 * Accounts on MongoDB, through the connection an app already has. Schemas say what is stored, check
 * what is inserted and make the indexes; every change goes to the native collection, with a write
 * concern and a read concern of ours, whatever the connection's URI says (C-2, C-3).
 *
 * Uniqueness is carried by `_id` alone, so it works on a sharded cluster (C-8).
 *
 * @throws TypeError naming the option.
 */
export function mongooseStore(
  connection: Connection,
  { prefix = "polyfactor_", auditDays = 365, deadline = 3000 }: MongooseStoreOptions = {},
): Store {
  if (!/^[A-Za-z][A-Za-z0-9_]{0,40}$/.test(prefix)) {
    throw new TypeError("mongooseStore.prefix: letters, digits and _, beginning with a letter");
  }
  if (!Number.isInteger(auditDays) || auditDays < 1) {
    throw new TypeError("mongooseStore.auditDays: a whole number above 0");
  }
  const models = modelsOn(connection, { prefix, auditDays });
  const within = <T>(call: () => PromiseLike<T>, what: string): Promise<T> =>
    callOut(call, deadline, what);

  return {
    tenant: (id) => tenantStore(models, id, deadline),
    async countSend(key, { perQuarter, perDay }, now) {
      const day = Math.floor(now / DAY);
      const quarter = String(Math.floor((now % DAY) / (DAY / 96)));
      const count = () =>
        native(models.budgets).findOneAndUpdate(
          { _id: `${key}_${day}` },
          {
            $inc: { sent: 1, [`quarters.q${quarter}`]: 1 },
            $setOnInsert: { expireAt: new Date((day + 2) * DAY) },
          },
          { ...WRITE, upsert: true, returnDocument: "after", includeResultMetadata: false },
        );
      const { sent = 0, quarters = {} } = (await within(count, "count")) as {
        sent?: number;
        quarters?: Record<string, number>;
      };
      return sent <= perDay && (quarters[`q${quarter}`] ?? 0) <= perQuarter;
    },
    async appendAudit(events: readonly AuditEvent[]) {
      // An event that cannot be stored costs itself, not its batch.
      const checked = await Promise.allSettled(
        events.map(({ id, ...event }) => plain(models.audit, { _id: id, ...event })),
      );
      const documents = checked.flatMap((made) =>
        made.status === "fulfilled" ? [made.value] : [],
      );
      if (documents.length === 0) return;
      const insert = () => native(models.audit).insertMany(documents, { ...WRITE, ordered: false });
      await within(insert, "audit").catch((error: unknown) => {
        // A batch that was written although its answer was lost comes again under the same ids.
        if (!isDuplicate(error)) throw error;
      });
    },
    ready: () => makeReady(connection, Object.values(models), deadline),
  };
}

function native(model: Model<unknown>): Collection {
  return model.collection as unknown as Collection;
}

/** Cast and checked by its schema, which throws for what it does not know. */
async function plain(model: Model<unknown>, values: object): Promise<object> {
  const document = new model(values);
  await document.validate();
  return document.toObject();
}

function tenantStore(
  { accounts, identifiers }: Models,
  tenant: string,
  deadline: number,
): TenantStore {
  const [accountDocuments, nameDocuments] = [native(accounts), native(identifiers)];
  const within = <T>(call: () => PromiseLike<T>, what: string): Promise<T> =>
    callOut(call, deadline, what);
  const where = { tenant };
  const records = mongoRecords<Account>(accountDocuments, { where, deadline });
  const lastCharge = (): Readonly<Record<string, unknown>> => ({
    expireAt: new Date(Date.now() + UNKNOWN_LIVES),
  });

  const lookUp = async (key: string): Promise<IdentifierDocument> => {
    // One upsert by `_id` alone, for known and unknown names alike: a guarded one would be refused, not retried, where two collide.
    const find = () =>
      nameDocuments.findOneAndUpdate(
        { _id: key },
        // It writes for every name: a look-up that wrote for unknown ones alone would tell them by its time (EN-02).
        { $set: { triedAt: new Date() }, $setOnInsert: { tenant, free: true, ...lastCharge() } },
        { ...WRITE, upsert: true, returnDocument: "after", includeResultMetadata: false },
      );
    return (await within(find, "resolve")) ?? {};
  };
  /** Take the pointer, if it is still what was seen. */
  const point = async (
    key: string,
    seen: IdentifierDocument,
    account: string,
    now: number,
  ): Promise<boolean> => {
    const filter = {
      _id: key,
      tenant,
      account: seen.account ?? { $exists: false },
      claimedAt: seen.claimedAt ?? { $exists: false },
    };
    const update = {
      $set: { account, claimedAt: now },
      $unset: { free: "", expireAt: "", budgets: "" },
    };
    const done = (await within(() => nameDocuments.updateOne(filter, update, WRITE), "claim")) as {
      matchedCount: number;
    };
    return done.matchedCount === 1;
  };
  const lists = async (account: string, key: string): Promise<boolean> => {
    const filter = { _id: account, tenant, [`names.${key}`]: { $exists: true } };
    return (await within(() => accountDocuments.findOne(filter, DECISIVE), "read")) !== null;
  };

  return {
    accounts: records,
    unknown: mongoRecords(nameDocuments, { where, deadline, touch: lastCharge }),
    resolve: async (key) => (await lookUp(key)).account ?? null,
    async insert(id, account, expiresAt) {
      const values = { ...account, _id: id, tenant, expireAt: new Date(expiresAt) };
      const document = await plain(accounts, values);
      await within(() => accountDocuments.insertOne(document, WRITE), "insert");
    },
    async claim(key, account, now) {
      const seen = await lookUp(key);
      if (seen.account !== undefined && seen.account !== account) {
        if ((seen.claimedAt ?? 0) > now - POINTER_SETTLES) return false;
        if (await lists(seen.account, key)) return false;
      }
      // Its own old pointer is made new all the same: nobody may take it before the account lists it.
      return point(key, seen, account, now);
    },
    async release(key, account, before) {
      const filter = { _id: key, tenant, account, claimedAt: { $lt: before } };
      await within(() => nameDocuments.deleteOne(filter, WRITE), "release");
    },
    async remove(account) {
      const done = () => accountDocuments.deleteOne({ _id: account, tenant }, WRITE);
      const { deletedCount } = (await within(done, "remove")) as { deletedCount: number };
      return deletedCount === 1;
    },
  };
}

/** FT-08, C-10: without its indexes and retryable writes the store does not start. */
async function makeReady(
  connection: Connection,
  models: readonly Model<unknown>[],
  deadline: number,
): Promise<void> {
  await callOut(() => connection.asPromise(), 2 * deadline, "connect");
  if (!connection.getClient().options.retryWrites) {
    throw new TypeError("store: the connection needs retryWrites=true");
  }
  const admin = connection.getClient().db("admin");
  const hello = await callOut(() => admin.command({ hello: 1 }), deadline, "hello");
  if (hello.setName === undefined && hello.msg !== "isdbgrid") {
    process.emitWarning(
      "polyfactor: MongoDB is not a replica set; a crash may lose its last writes",
    );
  }
  for (const model of models) {
    for (const [keys, options] of model.schema.indexes()) {
      await native(model).createIndex(keys, options);
    }
  }
}
