import type { Core } from "../core.ts";

/**
 * Work that hashes: it holds a slot from before its charge to after its commit. There are fewer slots than
 * free attempts, so honest parallel logins lose none (PW-12).
 *
 * @throws AuthError `unavailable` where too many are waiting.
 */
export async function inSlot<T>(core: Core, work: () => Promise<T>): Promise<T> {
  const release = await core.slots.take();
  try {
    return await work();
  } finally {
    release();
  }
}
