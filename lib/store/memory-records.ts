import type { FactorRecord } from "../account.ts";
import type { Change } from "../change.ts";
import { apply } from "../apply.ts";
import type { Records } from "./port.ts";

/**
 * Records in this process's memory: for trying things and for tests. Everybody exists, nothing is
 * kept, and a second process knows nothing of it.
 */
export function memoryRecords(): Records {
  const records = new Map<string, FactorRecord>();
  const read = (subject: string): FactorRecord => records.get(subject) ?? {};
  // In one turn of the event loop, so nothing comes between reading and writing.
  const swap = (subject: string, wanted: Change): Promise<FactorRecord | null> =>
    Promise.resolve().then(() => {
      const before = read(subject);
      const after = apply(before, wanted);
      if (after === null) return null;
      records.set(subject, after);
      return before;
    });

  return {
    read: (subject) => Promise.resolve(read(subject)),
    charge: swap,
    commit: async (subject, wanted) => (await swap(subject, wanted)) !== null,
  };
}
