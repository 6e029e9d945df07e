import { AuthError } from "../errors.ts";

/** How much password hashing may happen at once. */
export interface HashingSlotsOptions {
  /**
   * Hashes at once. Keep it below the free attempts of an account, so that the honest tabs of one user never race
   * each other over budget.
   * @default 4
   */
  readonly slots?: number;
  /**
   * Callers that may wait for a slot; one more is refused.
   * @default 100
   */
  readonly queue?: number;
}

/** The right to hash, given to a bounded number of callers at a time. */
export interface HashingSlots {
  /**
   * Waits for a slot, first come, first served. Take it before the attempt is charged and call the returned function
   * after the verification; calling it again does nothing.
   * @throws {AuthError} `unavailable`, retry after 1 s, when the queue is full.
   */
  take(): Promise<() => void>;
}

/**
 * Bounds the memory and the processor time that logins can claim (PW-12).
 * @throws {TypeError} when `slots` or `queue` is not a sensible whole number.
 */
export function createHashingSlots({
  slots = 4,
  queue = 100,
}: HashingSlotsOptions = {}): HashingSlots {
  if (!Number.isInteger(slots) || slots < 1) {
    throw new TypeError("hashing: slots must be a whole number of at least 1");
  }
  if (!Number.isInteger(queue) || queue < 0) {
    throw new TypeError("hashing: queue must be a whole number of at least 0");
  }

  const waiting: ((release: () => void) => void)[] = [];
  let free = slots;

  function occupy(): () => void {
    let held = true;
    return () => {
      if (!held) return; // a second release would hand out a slot that is not there
      held = false;

      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next(occupy());
    };
  }

  return {
    take() {
      if (free > 0) {
        free -= 1;
        return Promise.resolve(occupy());
      }
      if (waiting.length >= queue) {
        return Promise.reject(
          new AuthError("unavailable", { reason: "hash_queue_full", retryAfter: 1 }),
        );
      }
      return new Promise((resolve) => {
        waiting.push(resolve);
      });
    },
  };
}
