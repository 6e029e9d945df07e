import type { FactorRecord } from "../account.ts";
import { callOut } from "../deadline.ts";
import { AuthError } from "../errors.ts";
import type { Records } from "./port.ts";
import { toMongo } from "./to-mongo.ts";

type Document = Record<string, unknown>;

/** The few methods of the driver's collection that records need. mongoose's `Model.collection` has them. */
export interface NativeCollection {
  /** As the driver's. */
  findOne(filter: object, options: object): PromiseLike<Record<string, unknown> | null>;
  /** As the driver's. */
  findOneAndUpdate(
    filter: object,
    update: object,
    options: object,
  ): PromiseLike<Record<string, unknown> | null>;
  /** As the driver's. */
  updateOne(filter: object, update: object, options: object): PromiseLike<unknown>;
}

/** Where in a collection records lie. */
export interface MongoRecordsOptions {
  /** Dotted path of the record in the document. @default the document itself */
  readonly at?: string;
  /** `_id` of a subject, e.g. `id => new mongoose.Types.ObjectId(id)`. @default the string itself */
  readonly id?: (subject: string) => unknown;
  /** Milliseconds that one call may take. @default 3000 */
  readonly deadline?: number;
  /** What every filter holds beside `_id`, e.g. a tenant. @default nothing */
  readonly where?: Readonly<Record<string, unknown>>;
  /** Whether the first charge makes the document; for names that nobody has, never for users. @default false */
  readonly create?: boolean;
  /** Fields that every charge sets beside its own, e.g. the date a TTL index goes by. @default none */
  readonly touch?: () => Readonly<Record<string, unknown>>;
}

/** Set on every write by us, whatever the host's connection says: a `w: 1` spend can come back (C-2). */
export const MAJORITY = { w: "majority", wtimeoutMS: 3000 } as const;
/** Set on every read by us, whatever the host's connection says (C-3). */
export const DECISIVE = {
  readPreference: "primary",
  readConcern: { level: "majority" },
  maxTimeMS: 3000,
} as const;

/**
 * Records in a MongoDB collection, on the **native** collection (`User.collection` of a mongoose
 * model): a default mongoose schema drops the paths it does not know, and what is left pays nothing.
 *
 * A subject whose `_id` cannot be made is refused as `invalid_input`.
 */
export function mongoRecords<R extends object = FactorRecord>(
  collection: NativeCollection,
  options: MongoRecordsOptions = {},
): Records<R> {
  const {
    at = "",
    id = (subject: string) => subject,
    deadline = 3000,
    where = {},
    touch,
  } = options;
  const { create = false } = options;
  const locate = (subject: string): Document => ({ ...where, _id: castId(id, subject) });
  const projection = at === "" ? {} : { projection: { [at]: 1 } };
  const pick = (document: Document | null): R | null =>
    document === null ? null : (descend(document, at) as R);

  return {
    async read(subject) {
      const where = locate(subject);
      const find = () => collection.findOne(where, { ...DECISIVE, ...projection });
      return pick(await callOut(find, deadline, "read"));
    },
    async charge(subject, change) {
      const { filter, update } = toMongo(change, { at });
      const paid =
        touch === undefined ? update : { ...update, $set: { ...update.$set, ...touch() } };
      const once = async (upsert: boolean): Promise<Charged> => {
        const find = { ...filter, ...locate(subject) };
        const pay = () =>
          collection.findOneAndUpdate(find, paid, {
            ...{ writeConcern: MAJORITY, maxTimeMS: 3000, returnDocument: "before", upsert },
            includeResultMetadata: true,
            ...projection,
          });
        return (await callOut(pay, deadline, "charge")) as unknown as Charged;
      };
      const { value, lastErrorObject } = await once(create).catch((error: unknown) => {
        // The document is there and the conditions did not hold; or another first charge made it just now.
        if (create && isDuplicate(error)) return once(false);
        throw error;
      });
      return value === null && lastErrorObject?.upserted !== undefined ? ({} as R) : pick(value);
    },
    async commit(subject, change) {
      const { filter, update } = toMongo(change, { at });
      const find = { ...filter, ...locate(subject) };
      const write = () =>
        collection.updateOne(find, update, { writeConcern: MAJORITY, maxTimeMS: 3000 });
      const { matchedCount } = (await callOut(write, deadline, "commit")) as {
        matchedCount: number;
      };
      // A no-op effect modifies nothing and is still ours: what was matched is the answer.
      return matchedCount === 1;
    },
  };
}

interface Charged {
  readonly value: Document | null;
  readonly lastErrorObject?: { readonly upserted?: unknown };
}

/** Whether a call was refused because the `_id` is there. */
export function isDuplicate(error: unknown): boolean {
  return error instanceof AuthError && (error.cause as { code?: unknown } | null)?.code === 11_000;
}

function castId(id: (subject: string) => unknown, subject: string): unknown {
  try {
    return id(subject);
  } catch (cause) {
    throw new AuthError("invalid_input", { reason: "subject_id", cause });
  }
}

function descend(document: Document, at: string): unknown {
  let value: unknown = document;
  for (const segment of at === "" ? [] : at.split(".")) {
    value = (value as Document | undefined)?.[segment];
  }
  return value ?? {};
}
