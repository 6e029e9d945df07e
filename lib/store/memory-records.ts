import type { FactorRecord } from "../account.ts";
import { apply } from "./apply.ts";
import type { Records } from "./port.ts";

/**
 * Records in this process's memory: for trying things and for tests. Everybody exists, nothing is
 * kept, and a second process knows nothing of it.
 */
export function memoryRecords(): Records {
  const records = new Map<string, FactorRecord>();
  const read = (subject: string): FactorRecord => records.get(subject) ?? {};

  return {
    read: (subject) => Promise.resolve(read(subject)),
    charge(subject, change) {
      const before = read(subject);
      const after = apply(before, change);
      if (after === null) return Promise.resolve(null);
      records.set(subject, after);
      return Promise.resolve(before);
    },
    commit(subject, change) {
      const after = apply(read(subject), change);
      if (after !== null) records.set(subject, after);
      return Promise.resolve(after !== null);
    },
  };
}
