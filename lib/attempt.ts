import type { BudgetName, FactorRecord } from "./account.ts";
import type { AuditEntry } from "./audit.ts";
import { allows } from "./apply.ts";
import { exhausts, isOff, payFrom, refund, secondsUntilAllowed } from "./budget.ts";
import { change, type Change, type ChangeBuilder, type Path } from "./change.ts";
import type { Context } from "./context.ts";
import type { Core } from "./core.ts";
import { AuthError, type Code } from "./errors.ts";
import type { Receipt } from "./receipt.ts";
import type { Records } from "./store/port.ts";

/** What a decide answers: a refusal, or everything that becomes true and everything that must still hold. */
export type Decision<T> =
  | { readonly refused: string; readonly code?: Code }
  | {
      readonly change: Change;
      readonly value: T;
      /** Path of something random that the change sets: it proves afterwards that the change was ours. */
      readonly witness?: Path;
    };

/** One attempt at something that must be paid for. */
export interface AttemptSpec<R extends FactorRecord> {
  readonly records: Records<R>;
  readonly subject: string;
  /** The budgets it pays from; every one of them must allow it. */
  readonly budgets: readonly BudgetName[];
  /** What must be there for the attempt to be about, and what the charge takes beside the budgets. */
  readonly about: ChangeBuilder;
  /** Gives back what the charge took beside the budgets, after a fault of ours. */
  readonly giveBack?: Change;
  /** What a wrong proof is called, and a thing that is not there, or no longer. */
  readonly wrong: Code;
  readonly gone: Code;
  readonly event: AuditEntry;
  readonly context: Context;
  /** Told of a refusal that was paid for, e.g. to warn the owner. */
  readonly onRefused?: (record: R) => void;
  /** Told of a success, with the record as the charge found it. */
  readonly onGranted?: (record: R) => void;
}

/**
 * Charge, decide, commit: the one sequence behind every password, code and change of factors.
 *
 * The charge is one conditional write that pays for the attempt and answers the record. `decide` looks
 * at that and never touches the database. The commit is one conditional write with every precondition,
 * the record's epoch among them, and every effect. Matched nothing: somebody was first.
 *
 * @throws AuthError `wrong`, `gone`, `too_many_attempts` or `unavailable`.
 */
export async function attempt<T, R extends FactorRecord>(
  core: Core,
  spec: AttemptSpec<R>,
  decide: (receipt: Receipt<R>) => Promise<Decision<T>> | Decision<T>,
): Promise<T> {
  const { records, subject, budgets, about, event, context } = spec;
  const record = await records.charge(subject, payFrom(budgets, core.now()).and(about));
  if (record === null) throw await explain(core, spec);

  const decision = await decideOrRefund(core, spec, decide, record);
  if ("refused" in decision) {
    core.audit.record({ ...event, outcome: "refused", reason: decision.refused }, context);
    noteExhausted(core, spec, record);
    spec.onRefused?.(record);
    throw new AuthError(decision.code ?? spec.wrong, { reason: decision.refused });
  }
  if (!(await commit(core, spec, record, decision))) {
    core.audit.record({ ...event, outcome: "refused", reason: "raced" }, context);
    throw new AuthError(spec.wrong, { reason: "raced" });
  }
  core.audit.record(event, context);
  spec.onGranted?.(record);
  return decision.value;
}

/** A budget that this attempt used up is an event of its own: the owner may be locked out by it (LG-01). */
function noteExhausted<R extends FactorRecord>(
  core: Core,
  { budgets, event, context }: AttemptSpec<R>,
  record: R,
): void {
  for (const name of budgets) {
    const how = exhausts(record, name);
    if (how === undefined) continue;
    const reason = `${name}_${how}`;
    core.audit.record({ ...event, type: "budget_exhausted", outcome: "refused", reason }, context);
    tellIfOff(core, { event, context, record });
  }
}

/** Whatever switched the password off, its owner is sent the way to switch it on (TH-01). */
function tellIfOff(
  core: Core,
  { event, context, record }: { event: AuditEntry; context: Context; record: FactorRecord },
): void {
  const off = exhausts(record, "password") === "off" || isOff(record, "password");
  if (off && event.account !== undefined) {
    core.notify(event.account, record, "password_off", context);
  }
}

/** Nothing was paid, so nothing is evaluated; one read tells "not now" from "not there". */
async function explain<R extends FactorRecord>(
  core: Core,
  { records, subject, budgets, about, gone, event, context }: AttemptSpec<R>,
): Promise<AuthError> {
  const record = await records.read(subject);
  // Not by the clock alone: the delay may have ended, or somebody succeeded, since the charge was refused.
  const isThere = record !== null && allows(record, about);
  const wait = record === null ? 0 : secondsUntilAllowed(record, budgets, core.now());
  // The first mail may have been lost; `notify` sends one a day at most.
  if (isThere && budgets.includes("password")) tellIfOff(core, { event, context, record });
  const error = isThere
    ? new AuthError("too_many_attempts", { retryAfter: Math.max(1, wait) })
    : new AuthError(gone, { reason: "gone" });
  core.audit.record({ ...event, outcome: "refused", reason: error.reason }, context);
  return error;
}

async function decideOrRefund<T, R extends FactorRecord>(
  core: Core,
  { records, subject, budgets, giveBack, event, context }: AttemptSpec<R>,
  decide: (receipt: Receipt<R>) => Promise<Decision<T>> | Decision<T>,
  record: R,
): Promise<Decision<T>> {
  try {
    // The one place where a receipt is made: behind a charge.
    return await decide({ subject, record } as Receipt<R>);
  } catch (fault) {
    const back = giveBack === undefined ? refund(budgets) : refund(budgets).and(giveBack);
    await records.commit(subject, back).catch(() => false);
    core.audit.record({ ...event, outcome: "refused", reason: reasonOf(fault) }, context);
    throw fault;
  }
}

async function commit<T, R extends FactorRecord>(
  core: Core,
  { records, subject, event, context }: AttemptSpec<R>,
  record: R,
  { change: granted, witness }: Extract<Decision<T>, { change: Change }>,
): Promise<boolean> {
  try {
    return await commitUnchanged(records, subject, record, granted);
  } catch (fault) {
    // C-5: the write may have happened. Only what this very change made proves that it did.
    if (witness !== undefined && (await isThere(records, subject, witness))) return true;
    core.audit.record({ ...event, outcome: "unknown", reason: reasonOf(fault) }, context);
    throw new AuthError("unavailable", { reason: "outcome_unknown", retryAfter: 1, cause: fault });
  }
}

/** Commit a change that rests on this record: only while its epoch is the one that was seen. */
export function commitUnchanged<R extends FactorRecord>(
  records: Records<R>,
  subject: string,
  { epoch }: FactorRecord,
  wanted: Change,
): Promise<boolean> {
  return records.commit(subject, change().and(wanted).whenSame(["epoch"], epoch));
}

async function isThere<R extends FactorRecord>(
  records: Records<R>,
  subject: string,
  path: Path,
): Promise<boolean> {
  const record = await records.read(subject).catch(() => null);
  let value: unknown = record;
  for (const segment of path) value = (value as Record<string, unknown> | undefined)?.[segment];
  return value !== undefined && value !== null;
}

function reasonOf(fault: unknown): string {
  return fault instanceof AuthError ? fault.reason : "fault";
}
