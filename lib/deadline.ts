import { AuthError } from "./errors.ts";

/**
 * The promise's outcome, or a refusal `unavailable` once `ms` have passed. The driver's own time-outs
 * leave a black hole open for many seconds (FT-02).
 */
export async function withDeadline<T>(work: PromiseLike<T>, ms: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new AuthError("unavailable", { reason: `${what}_deadline`, retryAfter: 1 }));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
