import type { Context } from "../context.ts";
import { AuthError } from "../errors.ts";

/** The parts of an Express request that this library reads. Express 4 and 5 have them. */
export interface RequestLike {
  readonly ip?: string | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly rawHeaders: readonly string[];
  readonly method: string;
  readonly body?: unknown;
  readonly id?: unknown;
}

/** What a request knows about its sender. The address is `req.ip`, so the host's `trust proxy` decides (EX-06). */
export function contextOf(req: RequestLike, lifetime?: number): Context {
  const userAgent = req.headers["user-agent"];
  return {
    ...(req.ip === undefined ? {} : { ip: req.ip }),
    ...(typeof userAgent === "string" ? { userAgent } : {}),
    ...(typeof req.id === "string" ? { requestId: req.id } : {}),
    ...(lifetime === undefined ? {} : { lifetime }),
  };
}

/**
 * The bearer token of a request (RFC 6750 §2.1), from the `Authorization` header alone; undefined where
 * there is none.
 *
 * @throws AuthError `invalid_input` for two such headers (JW-08), `invalid_token` for one that is no token.
 */
export function readBearer(req: RequestLike): string | undefined {
  const names = req.rawHeaders.filter((_, at) => at % 2 === 0);
  if (names.filter((name) => name.toLowerCase() === "authorization").length > 1) {
    throw new AuthError("invalid_input", { reason: "two_authorizations", field: "authorization" });
  }
  const [, token] = /^Bearer +(.*)$/i.exec(req.headers.authorization?.toString() ?? "") ?? [];
  if (token === undefined || token.trim() === "") return undefined;
  if (!/^[A-Za-z0-9._~+/=-]+$/.test(token))
    throw new AuthError("invalid_token", { reason: "malformed" });
  return token;
}
