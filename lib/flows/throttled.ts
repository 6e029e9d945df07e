import type { AuditEntry } from "../audit.ts";
import type { Context } from "../context.ts";
import type { Core } from "../core.ts";
import { callOut } from "../deadline.ts";
import { AuthError } from "../errors.ts";
import { addressOf, RateLimited } from "../throttle.ts";

/** Milliseconds that a limiter may take. */
const LIMITER_TAKES = 1500;

/**
 * Run work that counts against the client's address: paid before, given back where it succeeds or
 * where the fault is ours. Requests without an address (calls of the host's own) are not counted.
 *
 * @throws RateLimited
 */
export async function throttled<T>(
  core: Core,
  { context, event, keep = false }: { context: Context; event: AuditEntry; keep?: boolean },
  work: () => Promise<T>,
): Promise<T> {
  if (context.ip === undefined) return work();
  const address = addressOf(context.ip);
  // A limiter that is out of reach closes the door; it never opens it (TH-10).
  const take = () => core.throttle.take(address, core.now());
  const allowance = await callOut(take, LIMITER_TAKES, "throttle");
  if (!allowance.allowed) {
    core.audit.record({ ...event, type: "limit_hit", outcome: "refused" }, context);
    throw new RateLimited(allowance, core.now());
  }
  // Best effort: a limiter that fails here must not undo what was committed.
  const giveBack = (): Promise<void> =>
    callOut(() => core.throttle.giveBack(address, allowance), LIMITER_TAKES, "throttle").catch(
      () => undefined,
    );
  let value: T;
  try {
    value = await work();
  } catch (error) {
    const ours = !(error instanceof AuthError) || error.code === "unavailable";
    if (ours) await giveBack();
    throw error;
  }
  if (!keep) await giveBack();
  return value;
}
