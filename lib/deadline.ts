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

/**
 * A call to a dependency: its outcome, or a refusal `unavailable` where it fails or takes longer than `ms`.
 * What it says of itself stays inside, as the refusal's cause.
 */
export async function callOut<T>(call: () => PromiseLike<T>, ms: number, what: string): Promise<T> {
  try {
    return await withDeadline(call(), ms, what);
  } catch (cause) {
    if (cause instanceof AuthError) throw cause;
    throw new AuthError("unavailable", { reason: `${what}_failed`, retryAfter: 1, cause });
  }
}
