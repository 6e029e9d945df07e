import { attempt, commitUnchanged, type Decision } from "../attempt.ts";
import { refresh } from "../budget.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Core, FoundName, Progress } from "../core.ts";
import { AuthError } from "../errors.ts";
import { checkPassword } from "../factors/password.ts";
import type { Receipt } from "../receipt.ts";
import { throttled } from "./throttled.ts";
import { noteStart, passGate, type FirstFactor } from "./gate.ts";
import { inSlot } from "./in-slot.ts";

/**
 * The first factor by name and password.
 *
 * @throws AuthError `invalid_credentials` whatever is wrong (EN-01), `too_many_attempts`,
 * `rate_limited`, `unavailable`.
 */
export async function login(
  core: Core,
  name: string,
  { password }: { readonly password: string },
  context: Context,
): Promise<Progress> {
  const { directory } = core;
  if (directory === undefined) throw new TypeError("login: no directory of names was given");
  const event = { type: "login", method: "password" } as const;

  return throttled(core, { context, event }, async () => {
    const progress = await inSlot(core, async () => {
      const found = await directory.find(name);
      if (found.subject === null) return tryUnknown(core, found.key, password, context);
      return tryKnown(core, found as Known, password, context);
    });
    return noteStart(core, progress, { context, method: "password" });
  });
}

type Known = FoundName & { readonly subject: string };

async function tryKnown(
  core: Core,
  { key, subject, listed }: Known,
  password: string,
  context: Context,
): Promise<Progress> {
  const spec = {
    records: core.records,
    subject,
    budgets: ["password"] as const,
    about: listed === undefined ? change() : change().when(listed, { present: true }),
    wrong: "invalid_credentials",
    gone: "invalid_credentials",
    event: { type: "login", method: "password", account: subject },
    context,
  } as const;
  try {
    return await attempt(core, spec, (receipt) => decide(core, receipt, password, context));
  } catch (error) {
    // A pointer that its account does not list: what is left of a registration that was cut short.
    const dangling = error instanceof AuthError && error.reason === "gone";
    if (dangling) return tryUnknown(core, key, password, context);
    throw error;
  }
}

/** A name without account costs, counts and answers as one with an account (EN-02, EN-04). */
function tryUnknown(
  core: Core,
  key: string,
  password: string,
  context: Context,
): Promise<Progress> {
  const records = core.directory?.unknown ?? core.records;
  const spec = {
    records,
    subject: key,
    budgets: ["password"] as const,
    about: change(),
    wrong: "invalid_credentials",
    gone: "invalid_credentials",
    event: { type: "login", method: "password", name: key },
    context,
  } as const;
  return attempt(core, spec, async (receipt): Promise<Decision<Progress>> => {
    await checkPassword(receipt, core.hasher, password);
    return { refused: "unknown_name" };
  });
}

async function decide(
  core: Core,
  receipt: Receipt,
  password: string,
  context: Context,
): Promise<Decision<Progress>> {
  const { right, rehash } = await checkPassword(receipt, core.hasher, password);
  if (!right) return { refused: "wrong_password" };
  const barred = core.barred(receipt.record);
  if (barred !== undefined) return { refused: barred };

  const step = passGate(core, receipt, { proofs: { password: core.now() } }, context);
  const settled = step.change.and(refresh(["password"]));
  // An effect, never a condition on the old hash: two logins at once may both upgrade it (PW-09).
  return { ...step, change: rehash === undefined ? settled : settled.and(rehash) };
}

/**
 * Somebody else checked the first factor: through the same gate. The caller vouches for the subject.
 *
 * @throws AuthError `invalid_credentials` where there is no such subject or it may not log in.
 */
export async function begin(
  core: Core,
  subject: string,
  first: Omit<FirstFactor, "proofs">,
  context: Context,
): Promise<Progress> {
  const event = { type: "login", method: "foreign", account: subject } as const;
  const record = await core.records.read(subject);
  const reason = record === null ? "unknown_subject" : core.barred(record);
  if (record === null || reason !== undefined) {
    core.audit.record({ ...event, outcome: "refused", reason: reason ?? "unknown" }, context);
    throw new AuthError("invalid_credentials", { reason: reason ?? "unknown" });
  }

  const step = passGate(
    core,
    { subject, record },
    { ...first, proofs: { foreign: core.now() } },
    context,
  );
  if (!(await commitUnchanged(core.records, subject, record, change().and(step.change)))) {
    core.audit.record({ ...event, outcome: "refused", reason: "raced" }, context);
    throw new AuthError("conflict", { reason: "raced" });
  }
  core.audit.record(event, context);
  return noteStart(core, step.value, { context, method: "foreign" });
}
