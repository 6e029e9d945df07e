import type { Context } from "../context.ts";
import type { Core, Session } from "../core.ts";
import type { TokenClaims } from "../crypto/tokens.ts";
import { endSession } from "./sessions.ts";

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
