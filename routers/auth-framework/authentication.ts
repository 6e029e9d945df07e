import type { Request } from "express";
import type { Progress } from "../../lib/core.ts";
import { AuthError } from "../../lib/errors.ts";
import { contextOf, readBearer } from "../../lib/middleware/request.ts";
import { route, type Reply, type Route } from "../shared/route.ts";
import { accessToken, EXPIRES_IN, userInfo, type FamilyParts } from "./family.ts";
import { riskOf } from "./risk.ts";
import * as schemas from "./schemas.ts";

const DAY = 86_400;
const tag = "Authentication";
const badCode = {
  status: 401,
  code: "MFA_INVALID_CODE",
  message: "Invalid or expired MFA challenge or code",
} as const;

/** Registration, login in one or two steps, refresh, logout. */
export function authenticationRoutes(parts: FamilyParts): readonly Route[] {
  const { calls, providers } = parts;
  return [
    route("post", "/api/v1/auth/register", {
      summary: "Register an account",
      operationId: "register",
      tag,
      access: "public",
      body: schemas.RegisterRequest,
      answer: schemas.RegisterResponse,
      refusals: [400, 409, 429],
      async run({ body, context }) {
        const { id, username, email } = await calls.register(body, context);
        return { data: { user_id: id, username, email } };
      },
    }),
    route("post", "/api/v1/auth/login", {
      summary: "Log in; with a second factor, in two steps",
      operationId: "login",
      tag,
      access: "public",
      body: schemas.LoginRequest,
      answer: schemas.LoginResponse,
      refusals: [400, 401, 429],
      words: { invalid_code: badCode },
      async run({ body, req }) {
        const progress = await logIn(parts, req, body);
        return progress.status === "pending"
          ? secondFactorNeeded(progress)
          : { data: await loggedIn(parts, req, progress) };
      },
    }),
    route("post", "/api/v1/auth/refresh", {
      summary: "Trade a refresh token for an access token",
      operationId: "refresh",
      tag,
      access: "public",
      body: schemas.RefreshRequest,
      answer: schemas.TokenResponse,
      refusals: [400, 401],
      words: {
        invalid_token: {
          status: 401,
          code: "INVALID_TOKEN",
          message: "Invalid or expired refresh token",
        },
      },
      async run({ body, context }) {
        const used = await calls.refresh(body.refresh_token, { rotate: false }, context);
        const { roles } = userInfo(parts, used.accountId, used.name);
        const token = await accessToken(parts, used.accountId, used.session, roles);
        return { data: { access_token: token, token_type: "Bearer", expires_in: EXPIRES_IN } };
      },
    }),
    route("post", "/api/v1/auth/logout", {
      summary: "End the session",
      operationId: "logout",
      tag,
      access: "bearer",
      body: schemas.LogoutRequest,
      bodyOptional: true,
      answer: schemas.NoData,
      refusals: [400, 401],
      async run({ body, req, context }) {
        const refreshToken = body.refresh_token ?? undefined;
        const tokens = { accessToken: readBearer(req) ?? "" };
        await calls.logout(
          refreshToken === undefined ? tokens : { ...tokens, refreshToken },
          context,
        );
        return { message: "Successfully logged out" };
      },
    }),
    ...validateRoutes(parts),
    route("get", "/api/v1/auth/providers", {
      summary: "List external logins",
      operationId: "providers",
      tag,
      access: "public",
      answer: schemas.ProviderList,
      refusals: [],
      run: () => ({
        data: providers.map(({ name, displayName, authUrl }) => ({
          name,
          display_name: displayName,
          auth_url: authUrl,
        })),
      }),
    }),
  ];
}

/** Documented as GET; the published JavaScript client sends POST. */
function validateRoutes(parts: FamilyParts): readonly Route[] {
  return (["get", "post"] as const).map((method) =>
    route(method, "/api/v1/auth/validate", {
      summary: "Tell whose token this is",
      operationId: method === "get" ? "validate" : "validateByPost",
      tag,
      access: "enrol",
      answer: schemas.UserInfo,
      refusals: [401],
      run({ acting }) {
        const { id, username } = parts.calls.profile(acting);
        return { data: userInfo(parts, id, username) };
      },
    }),
  );
}

interface LoginBody {
  readonly username: string;
  readonly password: string;
  readonly challenge_id?: string | null | undefined;
  readonly mfa_code?: string | null | undefined;
  readonly remember_me?: boolean | undefined;
}

/** The first step names no challenge; the second is one submit that checks name and password again. */
function logIn({ password, codes }: FamilyParts, req: Request, body: LoginBody): Promise<Progress> {
  const context = contextOf(req, (body.remember_me === true ? 30 : 7) * DAY);
  const first = { name: body.username, password: body.password };
  if (!body.challenge_id || !body.mfa_code) {
    if (password === undefined) throw new AuthError("not_offered");
    return password.attempt(req, { ...first, context });
  }
  const [code] = codes;
  if (code === undefined) throw new AuthError("invalid_code", { reason: "not_offered" });
  return code.attempt(req, {
    ticket: body.challenge_id.replace(/^mfa_/, ""),
    proof: { code: body.mfa_code, first },
    methods: codes.map(({ method }) => method),
    context,
  });
}

type Pending = Extract<Progress, { status: "pending" }>;
type Complete = Extract<Progress, { status: "complete" }>;

/** This family calls "second factor needed" an error. */
function secondFactorNeeded({ ticket, expiresAt }: Pending): Reply {
  const message = "Multi-factor authentication required";
  return {
    status: 401,
    error: {
      code: "MFA_REQUIRED",
      message,
      details: {
        challenge_id: `mfa_${ticket}`,
        mfa_type: "totp_or_backup_code",
        expires_at: expiresAt.toISOString(),
        message: "Send this login again with challenge_id and mfa_code",
      },
    },
  };
}

async function loggedIn(
  parts: FamilyParts,
  req: Request,
  { accountId, session, name }: Complete,
): Promise<object> {
  const user = userInfo(parts, accountId, name);
  const secured = session.amr.includes("mfa");
  const risk = secured ? LOW : riskOf(req, secured);
  return {
    access_token: await accessToken(parts, accountId, session, user.roles),
    refresh_token: await parts.calls.refreshToken(accountId, session),
    token_type: "Bearer",
    expires_in: EXPIRES_IN,
    user,
    ...risk,
  };
}

const LOW = { login_risk_level: "low", security_warnings: [] } as const;
