import {
  entriesOf,
  type FactorRecord,
  type Method,
  type ProofKind,
  type Proofs,
  type SessionEntry,
} from "./account.ts";

/** Whether an account must have a second factor; `from` gives those without one until then to enrol. */
export type SecondFactorRule = "optional" | "required" | { readonly requiredFrom: Date };

/** What a policy function is told of an account. */
export interface PolicySubject {
  readonly id: string;
  readonly tenant: string;
  readonly username?: string;
  readonly email?: string;
}

/** A rule for everybody, or a function of the account; it must be quick and must not fail. */
export type SecondFactorPolicy = SecondFactorRule | ((account: PolicySubject) => SecondFactorRule);

/**
 * What a session is good for. `enrol` may only set up the factor that policy requires; `aal1` rests on
 * one factor; `aal2` on a second one, given within 24 h and kept in use (NIST SP 800-63B §2.2.3).
 */
export type Level = "enrol" | "aal1" | "aal2";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** How long a second factor carries a session, and how long the session may lie idle (SE-05). */
const SECOND_FACTOR_HOLDS = 24 * HOUR;
const IDLE = HOUR;
/** How recent a second factor must be to change factors, password or address. */
export const FRESH = 15 * MINUTE;

const LEVELS: readonly Level[] = ["enrol", "aal1", "aal2"];
/** Second factors that can stand beside a password, strongest first; backup codes only replace one (BC-07). */
const PREFERENCE: readonly Exclude<Method, "backup_code">[] = ["totp"];
const SECOND: readonly Method[] = [...PREFERENCE, "backup_code"];

/** The second factors an account can use now, preferred one first; from the live factors (MC-08). */
export function methodsOf(record: FactorRecord): readonly Method[] {
  const real = PREFERENCE.filter((method) => entriesOf(record[method]).length > 0);
  const hasBackup = entriesOf(record.backup?.codes).length > 0;
  return real.length > 0 && hasBackup ? [...real, "backup_code"] : real;
}

/** Whether a login of this account needs a second factor: it has one. */
export function needsSecondFactor(record: FactorRecord): boolean {
  return methodsOf(record).length > 0;
}

/** Whether policy demands a second factor of this account now. */
export function requiresSecondFactor(
  policy: SecondFactorPolicy,
  account: PolicySubject,
  now: number,
): boolean {
  const rule = typeof policy === "function" ? policy(account) : policy;
  if (typeof rule === "string") return rule === "required";
  return rule.requiredFrom.getTime() <= now;
}

/** Whether policy will demand a second factor of this account, now or later. */
export function isMandatory(policy: SecondFactorPolicy, account: PolicySubject): boolean {
  return requiresSecondFactor(policy, account, Infinity);
}

/** When a second factor was last given; 0 for never. */
function secondFactorAt(proofs: Proofs): number {
  return Math.max(0, ...SECOND.map((method) => proofs[method] ?? 0));
}

/** Whether the session has lain idle so long that its second factor no longer counts. */
export function isIdle({ seenAt }: SessionEntry, now: number): boolean {
  return now - seenAt > IDLE;
}

/** The level a session has now. `mustEnrol`: policy demands a factor and there is none. */
export function levelOf(session: SessionEntry, mustEnrol: boolean, now: number): Level {
  if (mustEnrol) return "enrol";
  const age = now - secondFactorAt(session.proofs);
  return age < SECOND_FACTOR_HOLDS && !isIdle(session, now) ? "aal2" : "aal1";
}

/** Whether `level` is at least `wanted`. */
export function reaches(level: Level, wanted: Level): boolean {
  return LEVELS.indexOf(level) >= LEVELS.indexOf(wanted);
}

/**
 * Whether the proof that makes the wanted level is at most `maxAge` milliseconds old. For `aal2` that
 * is the second factor: a password given again does not stand in for it (MC-11).
 */
export function isRecent(proofs: Proofs, wanted: Level, maxAge: number, now: number): boolean {
  const at = wanted === "aal2" ? secondFactorAt(proofs) : authenticatedAt(proofs);
  return now - at <= maxAge;
}

/** The newest proof: OpenID Connect's `auth_time`, in milliseconds. */
export function authenticatedAt(proofs: Proofs): number {
  return Math.max(0, ...Object.values(proofs));
}

const AMR: Readonly<Record<ProofKind, readonly string[]>> = {
  password: ["pwd"],
  foreign: [],
  totp: ["otp", "mfa"],
  backup_code: ["otp", "mfa"],
};

/** Authentication method references (RFC 8176) for what a session rests on. */
export function amrOf(proofs: Proofs, foreign = ""): readonly string[] {
  const kinds = Object.keys(AMR) as ProofKind[];
  const values = kinds.filter((kind) => proofs[kind] !== undefined).flatMap((kind) => AMR[kind]);
  return [...new Set([...foreign.split(" ").filter((value) => value !== ""), ...values])];
}
