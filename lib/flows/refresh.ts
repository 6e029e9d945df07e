import type { FactorRecord } from "../account.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Core, Session } from "../core.ts";
import type { TokenClaims } from "../crypto/tokens.ts";
import { AuthError } from "../errors.ts";
import { issueRefreshToken } from "./bearer.ts";
import { describeSession, nameOf } from "./gate.ts";
import { endSession, liveSession } from "./sessions.ts";

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
