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
  /**
   * Milliseconds that a caller waits for a slot. Less than a request may take: nobody is charged, and nothing hashed,
   * for an answer that has gone out already.
   * @default 4000
   */
  readonly patience?: number;
}

/** The right to hash, given to a bounded number of callers at a time. */
export interface HashingSlots {
  /**
   * Waits for a slot, first come, first served. Take it before the attempt is charged and call the returned function
   * after the verification; calling it again does nothing.
   * @throws {AuthError} `unavailable`, retry after 1 s, when the queue is full or does not move.
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
  patience = 4000,
}: HashingSlotsOptions = {}): HashingSlots {
  if (!Number.isInteger(slots) || slots < 1) {
    throw new TypeError("hashing: slots must be a whole number of at least 1");
  }
  if (!Number.isInteger(queue) || queue < 0) {
    throw new TypeError("hashing: queue must be a whole number of at least 0");
  }

  const full = (reason: string): AuthError =>
    new AuthError("unavailable", { reason, retryAfter: 1 });
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
        return Promise.reject(full("hash_queue_full"));
      }
      return new Promise((resolve, reject) => {
        const turn = (release: () => void): void => {
          clearTimeout(timer);
          resolve(release);
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(turn), 1);
          reject(full("hash_queue_slow"));
        }, patience);
        waiting.push(turn);
      });
    },
  };
}
