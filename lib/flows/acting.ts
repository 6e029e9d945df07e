import type { BudgetName, FactorRecord, SessionEntry } from "../account.ts";
import { attempt, commitUnchanged, type Decision } from "../attempt.ts";
import type { AuditEntry } from "../audit.ts";
import { change, type ChangeBuilder } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core } from "../core.ts";
import { AuthError, type Code } from "../errors.ts";
import { FRESH, isRecent, type Level, levelOf, needsSecondFactor, reaches } from "../policy.ts";
import type { Receipt } from "../receipt.ts";
import { mustEnrol } from "./gate.ts";

/** What a route asks of a session. */
export interface Requirement {
  /** @default "aal1" */
  readonly level?: Level;
  /** Seconds since the proof that makes the level. @default any age */
  readonly maxAge?: number;
}

/** A session cannot do this: it needs a (fresher) second factor. What RFC 9470 says of it. */
export class StepUpRequired extends AuthError {
  readonly level: Level;
  /** Seconds. */
  readonly maxAge: number | undefined;

  constructor(level: Level, maxAge?: number) {
    super("step_up_required");
    this.level = level;
    this.maxAge = maxAge;
  }
}

/** @throws AuthError where the session is not good enough. */
export function demand(
  core: Core,
  acting: Acting,
  { level = "aal1", maxAge }: Requirement,
  context: Context,
): void {
  const now = core.now();
  const { subject, record, entry, sessionId } = acting;
  const has = levelOf(entry, mustEnrol(core, subject, record), now);
  const refuse = (error: AuthError): never => {
    const event = { type: "step_up", account: subject, session: sessionId } as const;
    core.audit.record({ ...event, outcome: "refused", reason: error.reason }, context);
    throw error;
  };
  if (has === "enrol" && level !== "enrol") refuse(new AuthError("enrolment_required"));
  const recent = maxAge === undefined || isRecent(entry.proofs, level, maxAge * 1000, now);
  if (!reaches(has, level) || !recent) refuse(new StepUpRequired(level, maxAge));
}

/** A change of factors, password or address needs a fresh second factor where the account has one. */
export function demandFresh(core: Core, acting: Acting, context: Context): void {
  if (!needsSecondFactor(acting.record)) return;
  demand(core, acting, { level: "aal2", maxAge: FRESH / 1000 }, context);
}

/**
 * End everything but the acting session and pending nothing: whole maps are replaced, never a list that
 * was read before. The filter holds what the kept entry was copied from.
 */
export function keepOnly(
  { record, sessionId }: Pick<Acting, "record" | "sessionId">,
  patch: Partial<SessionEntry> = {},
): ChangeBuilder {
  const entry = record.sessions?.[sessionId];
  if (entry === undefined) return change().when(["sessions", sessionId], { present: true });
  return change()
    .when(["sessions", sessionId, "refresh"], { equals: entry.refresh })
    .set(["sessions"], { [sessionId]: { ...entry, ...patch } })
    .set(["pending"], {});
}

/** Commit what the acting session may do, while it lives and nothing it was judged by has changed. */
export async function commitActing(
  core: Core,
  { subject, record, sessionId }: Acting,
  wanted: ChangeBuilder,
): Promise<void> {
  const alive = wanted.when(["sessions", sessionId], { present: true });
  if (await commitUnchanged(core.records, subject, record, alive)) return;
  throw new AuthError("conflict", { reason: "raced" });
}

/** An attempt by a session: what it pays, what its refusals are called, what it is about beside the session. */
export interface ActingAttempt {
  readonly budgets: readonly BudgetName[];
  readonly wrong: Code;
  readonly gone: Code;
  readonly event: AuditEntry;
  readonly context: Context;
  /** @default nothing but the session */
  readonly about?: ChangeBuilder;
  readonly onGranted?: (record: FactorRecord) => void;
}

/**
 * Charge, decide, commit for whoever is acting: paid for only while the session lives and the account is
 * what the session was judged by.
 */
export function attemptActing<T>(
  core: Core,
  { subject, record, sessionId }: Acting,
  { about = change(), ...spec }: ActingAttempt,
  decide: (receipt: Receipt) => Promise<Decision<T>> | Decision<T>,
): Promise<T> {
  const standing = about
    .when(["sessions", sessionId], { present: true })
    .whenSame(["epoch"], record.epoch);
  return attempt(core, { ...spec, records: core.records, subject, about: standing }, decide);
}
