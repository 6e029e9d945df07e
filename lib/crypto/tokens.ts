import { decodeProtectedHeader, jwtVerify, SignJWT, type JWTPayload } from "jose";
import { AuthError } from "../errors.ts";
import type { Keyring, KeyPurpose } from "./keyring.ts";
import { randomId } from "./random.ts";

/** Each kind of token has a `typ`, an audience and a key of its own (RFC 8725 §3.12, JW-05). */
export type TokenKind = "access" | "refresh";

interface KindOfToken {
  readonly typ: string;
  readonly audience: string;
  readonly purpose: KeyPurpose;
}

const KINDS: Readonly<Record<TokenKind, KindOfToken>> = {
  access: { typ: "at+jwt", audience: "api", purpose: "access-token" },
  refresh: { typ: "rt+jwt", audience: "refresh", purpose: "refresh-token" },
};

/** What every token of ours says. Times in seconds since 1970. */
export interface TokenClaims extends JWTPayload {
  readonly sub: string;
  /** The session's entry in the account. */
  readonly sid: string;
  readonly tenant: string;
  readonly iat: number;
  readonly exp: number;
  readonly jti: string;
}

/** Signs and verifies the JSON Web Tokens of one issuer and tenant. */
export interface Tokens {
  sign(kind: TokenKind, claims: UnsignedClaims, lifetime: number): Promise<string>;
  /**
   * @throws AuthError `invalid_token`, whatever is wrong with it.
   */
  verify(kind: TokenKind, token: string, options?: { expiredToo?: boolean }): Promise<TokenClaims>;
}

/** What a token is made of before `iss`, `aud`, `iat`, `nbf`, `exp`, `jti` and the tenant are put in. */
export type UnsignedClaims = Readonly<Record<string, unknown>> & {
  readonly sub: string;
  readonly sid: string;
};

// JW-07: jose takes several spellings of one token; ours has exactly one.
const COMPACT = /^[A-Za-z0-9_-]{1,2048}\.[A-Za-z0-9_-]{1,6000}\.[A-Za-z0-9_-]{43}$/;
/** Seconds by which the clocks of two processes may differ (JW-06, FT-06). */
const SKEW = 60;

/** HS256 with keys derived from the ring; `kid` names the secret (JW-01, JW-02). */
export function createTokens(
  keyring: Keyring,
  { issuer, tenant, now }: { issuer: string; tenant: string; now: () => number },
): Tokens {
  return {
    sign(kind, claims, lifetime) {
      const { typ, audience, purpose } = KINDS[kind];
      const { id, key } = keyring.current(purpose);
      const issuedAt = Math.floor(now() / 1000);
      return new SignJWT({ ...claims, tenant })
        .setProtectedHeader({ alg: "HS256", typ, kid: id })
        .setIssuer(issuer)
        .setAudience(audience)
        .setIssuedAt(issuedAt)
        .setNotBefore(issuedAt)
        .setExpirationTime(issuedAt + lifetime)
        .setJti(randomId())
        .sign(key);
    },
    async verify(kind, token, { expiredToo = false } = {}) {
      const { typ, audience } = KINDS[kind];
      const key = keyFor(keyring, kind, token);
      const seconds = now() / 1000;
      const claims = await readClaims(token, key, {
        issuer,
        audience,
        typ,
        algorithms: ["HS256"],
        requiredClaims: ["sub", "sid", "tenant", "iat", "exp", "jti"],
        currentDate: new Date(expiredToo ? 0 : now()),
        clockTolerance: expiredToo ? Number.MAX_SAFE_INTEGER : SKEW,
      });
      if (claims.tenant !== tenant) throw refused("other_tenant");
      if (claims.iat > seconds + SKEW) throw refused("issued_in_future");
      if (!expiredToo && claims.exp <= seconds) throw refused("expired");
      return claims;
    },
  };
}

function keyFor(keyring: Keyring, kind: TokenKind, token: string): Uint8Array {
  if (token.length > 8192 || !COMPACT.test(token)) throw refused("malformed");
  try {
    const { alg, kid } = decodeProtectedHeader(token);
    const found = typeof kid === "string" ? keyring.find(KINDS[kind].purpose, kid) : undefined;
    if (alg === "HS256" && found !== undefined && isCanonical(token)) return found.key;
  } catch (cause) {
    throw refused("malformed", cause);
  }
  throw refused("unknown_key");
}

/** Unused trailing bits of base64url give a token a second spelling (JW-07). */
function isCanonical(token: string): boolean {
  return token
    .split(".")
    .every((part) => Buffer.from(part, "base64url").toString("base64url") === part);
}

async function readClaims(
  token: string,
  key: Uint8Array,
  options: Parameters<typeof jwtVerify>[2],
): Promise<TokenClaims> {
  try {
    const { payload } = await jwtVerify(token, key, options);
    const { sub, sid, tenant, iat, exp, jti } = payload;
    const texts = [sub, sid, tenant, jti];
    if (texts.every((text) => typeof text === "string") && Number.isInteger(iat)) {
      if (Number.isInteger(exp)) return payload as TokenClaims;
    }
  } catch (cause) {
    throw refused("not_verified", cause);
  }
  throw refused("claims");
}

function refused(reason: string, cause?: unknown): AuthError {
  return new AuthError("invalid_token", { reason: `token_${reason}`, cause });
}
