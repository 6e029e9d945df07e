import { callbackify } from "node:util";
import type { Factors } from "../calls.ts";
import type { Acting, Progress } from "../core.ts";
import { withDeadline } from "../deadline.ts";
import { AuthError } from "../errors.ts";
import { asRefusal, ProblemError } from "./problem.ts";
import { contextOf, type RequestLike } from "./request.ts";

/** Milliseconds that one call of the host's session store may take (SE-07). */
const DEADLINE = 3000;

/** What the host's session says: whose login is pending, or whose session this is. Ids only (SE-10). */
export type Kept =
  | { readonly subject: string; readonly pending: string }
  | { readonly subject: string; readonly session: string };

/** What express-session calls when it has stored something, or could not. */
type Done = (error?: unknown) => void;

/** express-session, as far as it is needed here. */
interface HostSession {
  /** A key that is not Passport's. */
  polyfactor?: Kept;
  regenerate(done: Done): unknown;
  save(done: Done): unknown;
}

/** A request that may have a session of the host's. */
export type SessionRequest = RequestLike & { session?: unknown };

/** What the host's session says of us, checked in form. */
export function keptIn(req: SessionRequest): Kept | undefined {
  const kept: unknown = (req.session as Partial<HostSession> | null | undefined)?.polyfactor;
  if (typeof kept !== "object" || kept === null) return undefined;
  const { subject, pending, session } = kept as Readonly<Record<string, unknown>>;
  if (typeof subject !== "string") return undefined;
  if (typeof pending === "string") return { subject, pending };
  return typeof session === "string" ? { subject, session } : undefined;
}

/** Whether the request has a session that can be given a new id. */
export function hasHostSession(req: SessionRequest): boolean {
  const session = req.session as Partial<HostSession> | null | undefined;
  return typeof session?.regenerate === "function" && typeof session.save === "function";
}

/**
 * Write it down in a new session of the host's: the id from before the login is dead (SE-03). Awaited,
 * so that no success is answered for a session that was not stored (SE-07); where it was not,
 * `req.session` is null, so that no cookie goes out.
 *
 * @throws AuthError `unavailable` where the session cannot be stored.
 */
export async function keep(req: SessionRequest, kept: Kept): Promise<void> {
  await replace(req, { polyfactor: kept });
}

/** The same for somebody who is logged in: what the host keeps of them moves to the new id (MC-10). */
export async function renew(req: SessionRequest, kept: Kept): Promise<void> {
  const content = Object.entries(hostSession(req)).filter(([name]) => name !== "cookie");
  await replace(req, { ...Object.fromEntries(content), polyfactor: kept });
}

/**
 * Have the next regeneration of the host's session carry this over. Passport regenerates it when it
 * logs the user in, which would drop our key. Both of Passport's calls are under our deadline.
 */
export function carryOver(req: SessionRequest, kept: Kept): void {
  const session = hostSession(req);
  intercept(session, "regenerate", async (regenerate) => {
    // Passport's `keepSessionInfo` copies the old session over the new one: nothing stale may be in it.
    delete session.polyfactor;
    await stored(req, regenerate);
    const next = hostSession(req);
    next.polyfactor = kept;
    intercept(next, "save", (save) => stored(req, save));
  });
}

async function replace(req: SessionRequest, content: object): Promise<void> {
  const session = hostSession(req);
  await stored(req, (done) => session.regenerate(done));
  const next = Object.assign(hostSession(req), content);
  await stored(req, (done) => next.save(done));
}

function hostSession(req: SessionRequest): HostSession {
  if (hasHostSession(req)) return req.session as HostSession;
  throw new AuthError("unavailable", { reason: "no_host_session" });
}

/** One call of the host's store. After a failure no cookie may go out for what is not there (SE-07). */
async function stored(req: SessionRequest, act: (done: Done) => unknown): Promise<void> {
  const outcome = new Promise<void>((resolve, reject) => {
    act((error) => {
      if (error === undefined || error === null) resolve();
      else reject(new Error("the host's session was not stored", { cause: error }));
    });
  });
  try {
    await withDeadline(outcome, DEADLINE, "host_session");
  } catch (cause) {
    req.session = null;
    throw new AuthError("unavailable", { reason: "host_session", retryAfter: 1, cause });
  }
}

/** Put our work in front of a method. Not enumerable: Passport copies what is. */
function intercept(
  session: HostSession,
  method: "regenerate" | "save",
  work: (original: (done: Done) => unknown) => Promise<void>,
): void {
  const original = session[method].bind(session);
  const value = callbackify(() => work(original).catch(rejectForExpress));
  Object.defineProperty(session, method, { value, configurable: true, writable: true });
}

function rejectForExpress(error: unknown): never {
  throw new ProblemError(asRefusal(error));
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
  // The host may log its user in with Passport next.
  if (progress.status === "complete") carryOver(req, keptOf(progress));
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
