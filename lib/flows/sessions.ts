import { entriesOf, type FactorRecord, type SessionEntry } from "../account.ts";
import { commitUnchanged } from "../attempt.ts";
import { change, type ChangeBuilder } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core, Session } from "../core.ts";
import type { TokenClaims } from "../crypto/tokens.ts";
import { AuthError } from "../errors.ts";
import {
  authenticatedAt,
  FRESH,
  isIdle,
  isRecent,
  levelOf,
  needsSecondFactor,
  reaches,
  type Level,
} from "../policy.ts";
import { describeSession, mustEnrol, nameOf } from "./gate.ts";

/** `seenAt` is written at most this often, in milliseconds. */
const SEEN_EVERY = 5 * 60_000;

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

/**
 * Who holds this access token. One read: the account decides, so that an ended session, a changed
 * password or a disabled account act at once (JW-09).
 *
 * @throws AuthError `invalid_token`, `enrolment_required`, `step_up_required`.
 */
export async function authenticate(
  core: Core,
  token: string,
  requirement: Requirement,
  context: Context,
): Promise<Acting> {
  const { sub, sid } = await core.tokens.verify("access", token);
  return findSession(core, { subject: sub, sessionId: sid }, requirement, context);
}

/** The live session of this id, for a host whose own session names it. @throws as `authenticate` */
export async function findSession(
  core: Core,
  { subject, sessionId }: { readonly subject: string; readonly sessionId: string },
  requirement: Requirement,
  context: Context,
): Promise<Acting> {
  const record = await core.records.read(subject);
  const acting = record && liveSession(core, subject, record, sessionId);
  if (!acting) throw new AuthError("invalid_token", { reason: "session_gone" });

  await touch(core, acting);
  demand(core, acting, requirement, context);
  return acting;
}

function liveSession(
  core: Core,
  subject: string,
  record: FactorRecord,
  sessionId: string,
): Acting | undefined {
  const { sessions = {} } = record;
  const entry = Object.hasOwn(sessions, sessionId) ? sessions[sessionId] : undefined;
  if (entry === undefined || entry.expiresAt <= core.now()) return undefined;
  if (core.barred(record) !== undefined) return undefined;
  return { subject, record, sessionId, entry };
}

/** Note that the session is in use. One that lay idle too long loses its second factor in the same write (SE-05). */
async function touch(core: Core, { subject, record, sessionId, entry }: Acting): Promise<void> {
  const now = core.now();
  if (now - entry.seenAt < SEEN_EVERY) return;
  const path = ["sessions", sessionId];
  const idle = isIdle(entry, now) && levelOf({ ...entry, seenAt: now }, false, now) === "aal2";
  const seen = change()
    .when([...path, "seenAt"], { equals: entry.seenAt })
    .set([...path, "seenAt"], now);
  // A write that fails leaves the session idle, which costs its owner a code and opens nothing.
  await commitUnchanged(
    core.records,
    subject,
    record,
    idle ? forgetSecond(seen, path) : seen,
  ).catch(() => false);
}

function forgetSecond(seen: ChangeBuilder, path: readonly string[]): ChangeBuilder {
  return seen.unset([...path, "proofs", "totp"]).unset([...path, "proofs", "backup_code"]);
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

/** The acting session as it is told. */
export function describe(core: Core, acting: Acting): Session {
  return describeSession(core, acting);
}

/** The live sessions of the acting account, newest first. */
export function listSessions(core: Core, { subject, record }: Acting): readonly Session[] {
  return entriesOf<SessionEntry>(record.sessions)
    .filter(([, { expiresAt }]) => expiresAt > core.now())
    .sort(([, one], [, other]) => other.seenAt - one.seenAt)
    .map(([sessionId, entry]) => describeSession(core, { subject, record, sessionId, entry }));
}

/** End one session of the acting account. @throws AuthError `not_found` */
export async function revokeSession(
  core: Core,
  { subject }: Acting,
  sessionId: string,
  context: Context,
): Promise<void> {
  const ended =
    /^[A-Za-z0-9_-]{12}$/.test(sessionId) && (await endSession(core, subject, sessionId));
  if (!ended) throw new AuthError("not_found", { reason: "no_such_session" });
  core.audit.record({ type: "session_end", account: subject, session: sessionId }, context);
}

/** End every session of the acting account but, if asked, its own. */
export async function revokeSessions(
  core: Core,
  acting: Acting,
  { keepOwn }: { readonly keepOwn: boolean },
  context: Context,
): Promise<void> {
  const { subject, record } = acting;
  const ended = keepOwn ? keepOnly(acting) : change().set(["sessions"], {}).set(["pending"], {});
  if (!(await commitUnchanged(core.records, subject, record, ended))) {
    throw new AuthError("conflict", { reason: "raced" });
  }
  core.audit.record({ type: "session_end", account: subject, reason: "all" }, context);
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

/**
 * Log out: ends the session of the access token and, if given, of the refresh token. An expired token
 * of ours still logs out; a session that has ended already is no error.
 *
 * @throws AuthError `invalid_token` for an access token that was never ours.
 */
export async function logout(
  core: Core,
  { accessToken, refreshToken }: { readonly accessToken: string; readonly refreshToken?: string },
  context: Context,
): Promise<void> {
  const own = await core.tokens.verify("access", accessToken, { expiredToo: true });
  const other = refreshToken && (await verifyQuietly(core, refreshToken));
  const sids = new Set([own.sid, ...(other && other.sub === own.sub ? [other.sid] : [])]);
  for (const sid of sids) {
    if (await endSession(core, own.sub, sid)) {
      core.audit.record({ type: "session_end", account: own.sub, session: sid }, context);
    }
  }
}

async function verifyQuietly(core: Core, token: string): Promise<TokenClaims | undefined> {
  return core.tokens.verify("refresh", token, { expiredToo: true }).catch(() => undefined);
}

function endSession(core: Core, subject: string, sessionId: string): Promise<boolean> {
  const path = ["sessions", sessionId];
  return core.records.commit(subject, change().when(path, { present: true }).unset(path));
}

/** An access token for a session; `claims` are the wire's own. @param lifetime Seconds. @default 900 */
export function issueAccessToken(
  core: Core,
  subject: string,
  session: Session,
  {
    claims = {},
    lifetime = 900,
  }: { claims?: Readonly<Record<string, unknown>>; lifetime?: number },
): Promise<string> {
  const { id, amr, acr, authTime } = session;
  const auth_time = Math.floor(authTime.getTime() / 1000);
  const own = { sub: subject, sid: id, amr, acr, auth_time };
  return core.tokens.sign("access", { ...claims, ...own }, lifetime);
}

/** A refresh token for a session, good until the session expires. */
export function issueRefreshToken(
  core: Core,
  subject: string,
  session: Session,
  generation = 0,
): Promise<string> {
  const lifetime = Math.max(0, Math.floor((session.expiresAt.getTime() - core.now()) / 1000));
  return core.tokens.sign("refresh", { sub: subject, sid: session.id, gen: generation }, lifetime);
}

/** What a refresh token was good for. */
export interface Refreshed {
  readonly accountId: string;
  /** As in a complete login. */
  readonly name: string;
  readonly session: Session;
  /** The successor, where the token was rotated; the same for every caller within the grace. */
  readonly refreshToken?: string;
}

/**
 * Use a refresh token. With `rotate`, it is spent: the one before stays good for the policy's grace and
 * then names the same successor; presented later, it is taken for stolen and the session ends
 * (RFC 9700 §2.2.2).
 *
 * @throws AuthError `invalid_token`, `account_disabled`.
 */
export async function refreshSession(
  core: Core,
  token: string,
  { rotate }: { readonly rotate: boolean },
  context: Context,
): Promise<Refreshed> {
  const claims = await core.tokens.verify("refresh", token);
  const generation = claims.gen;
  if (typeof generation !== "number")
    throw new AuthError("invalid_token", { reason: "no_generation" });
  const used = rotate
    ? await rotateRefresh(core, claims, generation, context)
    : await readRefresh(core, claims, generation);

  const { sub: subject, sid } = claims;
  const acting = liveSession(core, subject, used.record, sid);
  if (acting === undefined) throw new AuthError("invalid_token", { reason: "session_gone" });

  core.audit.record({ type: "token_refresh", account: subject, session: sid }, context);
  const session = describeSession(core, acting);
  const refreshed = { accountId: subject, name: nameOf(core, subject, used.record), session };
  if (used.generation === generation) return refreshed;
  const successor = await issueRefreshToken(core, subject, session, used.generation);
  return { ...refreshed, refreshToken: successor };
}

interface UsedRefresh {
  readonly record: FactorRecord;
  readonly generation: number;
}

async function readRefresh(
  core: Core,
  { sub, sid }: TokenClaims,
  generation: number,
): Promise<UsedRefresh> {
  const record = notBarred(core, await core.records.read(sub));
  if (record?.sessions?.[sid]?.refresh !== generation) {
    throw new AuthError("invalid_token", { reason: "session_gone" });
  }
  return { record, generation };
}

/** Whoever holds a token of a disabled account may be told so, although its sessions have ended. */
function notBarred(core: Core, record: FactorRecord | null): FactorRecord | null {
  const reason = record === null ? undefined : core.barred(record);
  if (reason !== undefined) throw new AuthError("account_disabled", { reason });
  return record;
}

async function rotateRefresh(
  core: Core,
  { sub, sid }: TokenClaims,
  generation: number,
  context: Context,
): Promise<UsedRefresh> {
  const now = core.now();
  const path = ["sessions", sid];
  const rotated = change()
    .when([...path, "refresh"], { equals: generation })
    .when([...path, "expiresAt"], { above: now })
    .add([...path, "refresh"], 1)
    .set([...path, "refreshedAt"], now);
  const record = notBarred(core, await core.records.charge(sub, rotated));
  if (record !== null) return { record, generation: generation + 1 };

  const current = notBarred(core, await core.records.read(sub));
  const { refresh = -1, refreshedAt = 0 } = current?.sessions?.[sid] ?? {};
  const sibling = refresh === generation + 1 && now - refreshedAt < core.policy.refreshGrace;
  if (current !== null && sibling) return { record: current, generation: refresh };

  if (refresh > generation) {
    await endSession(core, sub, sid);
    const event = { type: "refresh_reuse", account: sub, session: sid } as const;
    core.audit.record({ ...event, outcome: "refused" }, context);
  }
  throw new AuthError("invalid_token", { reason: "refresh_spent" });
}

/** When the session was last proved, in seconds since 1970. */
export function authTimeOf({ entry }: Acting): number {
  return Math.floor(authenticatedAt(entry.proofs) / 1000);
}
