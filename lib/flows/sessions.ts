import { entriesOf, type FactorRecord, type SessionEntry } from "../account.ts";
import { commitUnchanged } from "../attempt.ts";
import { change, type ChangeBuilder } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core, Session } from "../core.ts";
import { AuthError } from "../errors.ts";
import { isIdle, levelOf } from "../policy.ts";
import { demand, keepOnly, type Requirement } from "./acting.ts";
import { describeSession } from "./gate.ts";

/** `seenAt` is written at most this often, in milliseconds. */
const SEEN_EVERY = 5 * 60_000;

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

/** The session of this id in a record, while it lives and its account may log in. */
export function liveSession(
  core: Core,
  subject: string,
  record: FactorRecord,
  sessionId: string,
): Acting | undefined {
  const { sessions = {} } = record;
  const entry = Object.hasOwn(sessions, sessionId) ? sessions[sessionId] : undefined;
  if (entry === undefined || entry.expiresAt <= core.now()) return undefined;
  if (core.barred(record) !== undefined) return undefined;
  // Not enumerable: who logs or answers with it shows no hash and no seed (CR-06).
  const acting = Object.defineProperty({ subject, sessionId, entry }, "record", { value: record });
  return acting as Acting;
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

/** False where there was none. */
export function endSession(core: Core, subject: string, sessionId: string): Promise<boolean> {
  const path = ["sessions", sessionId];
  return core.records.commit(subject, change().when(path, { present: true }).unset(path));
}
