import type { Acting, Progress } from "../core.ts";
import { AuthError } from "../errors.ts";
import type { Factors } from "../calls.ts";
import { contextOf, type RequestLike } from "./request.ts";

/** Where the host's session keeps ours: a key that is not Passport's. */
const KEY = "polyfactor";

/** What the host's session says: whose login is pending, or whose session this is. Ids only (SE-10). */
export type Kept =
  | { readonly subject: string; readonly pending: string }
  | { readonly subject: string; readonly session: string };

/** express-session, as far as it is needed here. */
interface HostSession {
  [KEY]?: Kept;
  regenerate(done: (error: unknown) => void): unknown;
  save(done: (error: unknown) => void): unknown;
}

/** A request that may have a session of the host's. */
export type SessionRequest = RequestLike & { session?: unknown };

/** What the host's session says of us, checked in form. */
export function keptIn(req: SessionRequest): Kept | undefined {
  const kept = (req.session as HostSession | undefined)?.[KEY];
  return kept !== undefined && typeof kept.subject === "string" ? kept : undefined;
}

/**
 * Write it down in a new session of the host's: the id from before the login is dead (SE-03). Awaited,
 * so that no success is answered for a session that was not stored (SE-07).
 *
 * @throws AuthError `unavailable` where the session cannot be stored.
 */
export async function keep(req: SessionRequest, kept: Kept): Promise<void> {
  await settled((done) => hostSession(req).regenerate(done));
  const session = hostSession(req);
  session[KEY] = kept;
  await settled((done) => session.save(done));
}

/**
 * Have the next regeneration of the host's session carry this over. Passport regenerates it when it
 * logs the user in, which would drop our key.
 */
export function carryOver(req: SessionRequest, kept: Kept): void {
  const session = hostSession(req);
  const regenerate = session.regenerate.bind(session);
  session.regenerate = (done) =>
    regenerate((error) => {
      const next = req.session as HostSession | undefined;
      if (next !== undefined) next[KEY] = kept;
      done(error);
    });
}

function hostSession(req: SessionRequest): HostSession {
  const session = req.session as Partial<HostSession> | undefined | null;
  if (typeof session?.regenerate !== "function" || typeof session.save !== "function") {
    throw new AuthError("unavailable", { reason: "no_host_session" });
  }
  return session as HostSession;
}

function settled(act: (done: (error: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => {
      if (error === undefined || error === null) resolve();
      else reject(new AuthError("unavailable", { reason: "host_session", cause: error }));
    });
  });
}

/**
 * Begin the second step of a host's own login, after it has checked the first factor itself. The host's
 * session then names the pending login, or the session where the user has no second factor.
 *
 * @throws AuthError `invalid_credentials`, `unavailable`.
 */
export async function beginLogin(
  req: SessionRequest,
  factors: Factors,
  subject: string,
  { amr }: { readonly amr?: readonly string[] } = {},
): Promise<Progress> {
  const progress = await factors.begin(subject, amr === undefined ? {} : { amr }, contextOf(req));
  await keep(req, keptOf(progress));
  return progress;
}

/** What the host's session keeps of a login. */
export function keptOf(progress: Progress): Kept {
  return progress.status === "pending"
    ? { subject: progress.accountId, pending: progress.entry }
    : { subject: progress.accountId, session: progress.session.id };
}

/** Who is acting in the host's session; undefined where it names nobody. @throws AuthError as `findSession` */
export async function actingIn<A extends Acting>(
  req: SessionRequest,
  factors: Factors<A>,
): Promise<A | undefined> {
  const kept = keptIn(req);
  if (kept === undefined || !("session" in kept)) return undefined;
  const named = { subject: kept.subject, sessionId: kept.session };
  return factors.findSession(named, { level: "enrol" }, contextOf(req));
}
