import type { NextFunction, Request, RequestHandler, Response } from "express";
import type { Auth } from "../auth.ts";
import type { Factors } from "../calls.ts";
import type { Acting, Session } from "../core.ts";
import { AuthError } from "../errors.ts";
import type { Requirement } from "../flows/acting.ts";
import type { Level } from "../policy.ts";
import { keptIn } from "./host-session.ts";
import { problemOf } from "./problem.ts";
import { contextOf, readBearer } from "./request.ts";

/** Who is acting, as `requireSession` puts it on `req.auth`. */
export interface AuthInfo {
  readonly accountId: string;
  /** Empty on a host's own users. */
  readonly tenant: string;
  readonly sessionId: string;
  readonly level: Level;
  /** RFC 8176. */
  readonly amr: readonly string[];
  readonly acr: string;
  /** Seconds since 1970 of the newest proof (OpenID Connect `auth_time`). */
  readonly authTime: number;
  /** For calls on `auth.tenant(…)` or factors, e.g. `enrolTotp(acting, …)`. */
  readonly acting: Acting;
}

/** What a route needs. */
export interface RequireSessionOptions extends Requirement {
  /** Whose accounts these are; needed with `createAuth`. */
  readonly tenant?: string;
}

/**
 * Middleware that lets only live sessions through: an access token of ours in `Authorization`, or else
 * the session that the host's own session names. Sets `req.auth`.
 *
 * Answers 401 with an RFC 6750 challenge, 401 with an RFC 9470 one where the level or age is not enough,
 * 403 for a session that may only enrol, 503 where the store is out of reach; as problem+json.
 *
 * @throws TypeError at start for a missing tenant, an unknown level, a `maxAge` that is no number of seconds.
 */
export function requireSession(
  source: Auth | Factors,
  { tenant, level = "aal1", maxAge }: RequireSessionOptions = {},
): RequestHandler {
  const factors = factorsOf(source, tenant);
  if (!["enrol", "aal1", "aal2"].includes(level)) {
    throw new TypeError('requireSession.level: "enrol", "aal1" or "aal2"');
  }
  if (maxAge !== undefined && !(Number.isInteger(maxAge) && maxAge > 0)) {
    throw new TypeError("requireSession.maxAge: a whole number of seconds above 0");
  }
  const requirement = { level, ...(maxAge === undefined ? {} : { maxAge }) };

  const identify = async (req: Request): Promise<AuthInfo> => {
    const acting = await find(factors, req, requirement);
    return describe(acting, factors.session(acting), tenant ?? "");
  };

  return (req, res, next) => {
    identify(req).then(
      (info) => {
        (req as Request & { auth?: AuthInfo }).auth = info;
        next();
      },
      (error: unknown) => {
        answer(res, error, next);
      },
    );
  };
}

/** What `requireSession` put on a request. @throws AuthError `unauthenticated` where it did not run. */
export function authOf(req: Request): AuthInfo {
  const { auth } = req as Request & { auth?: AuthInfo };
  if (auth === undefined) throw new AuthError("unauthenticated", { reason: "no_require_session" });
  return auth;
}

/** The calls behind either kind of core. @throws TypeError for `createAuth` without a tenant. */
export function factorsOf(source: Auth | Factors, tenant: string | undefined): Factors {
  if (!("tenant" in source)) return source;
  if (tenant === undefined) throw new TypeError("tenant: needed with createAuth");
  return source.tenant(tenant);
}

async function find(factors: Factors, req: Request, requirement: Requirement): Promise<Acting> {
  const token = readBearer(req);
  if (token !== undefined) return factors.authenticate(token, requirement, contextOf(req));

  const kept = keptIn(req);
  if (kept === undefined || !("session" in kept)) throw new AuthError("unauthenticated");
  const named = { subject: kept.subject, sessionId: kept.session };
  return factors.findSession(named, requirement, contextOf(req));
}

function describe(acting: Acting, session: Session, tenant: string): AuthInfo {
  const told = {
    accountId: acting.subject,
    tenant,
    sessionId: session.id,
    level: session.level,
    amr: session.amr,
    acr: session.acr,
    authTime: Math.floor(session.authTime.getTime() / 1000),
  };
  // For calls, not for logs.
  return Object.defineProperty(told, "acting", { value: acting }) as AuthInfo;
}

function answer(res: Response, error: unknown, next: NextFunction): void {
  if (res.headersSent) {
    next(error);
    return;
  }
  const { status, headers, body } = problemOf(error);
  res.status(status).set(headers).send(JSON.stringify(body));
}
