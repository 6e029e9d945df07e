import type { AccountActing, Session } from "../../lib/core.ts";
import type { Profile } from "../../lib/flows/profile.ts";
import { route, type Reply, type Route } from "../shared/route.ts";
import { userInfo, type FamilyParts } from "./family.ts";
import * as schemas from "./schemas.ts";

const tag = "Users";
const sent = "If the address belongs to an account that is not confirmed, a link was sent to it";

/** The user's own profile, address, password and sessions. */
export function accountRoutes(parts: FamilyParts): readonly Route[] {
  return [
    ...addressRoutes(parts),
    ...profileRoutes(parts),
    ...passwordRoutes(parts),
    ...sessionRoutes(parts),
  ];
}

function addressRoutes({ calls }: FamilyParts): readonly Route[] {
  return [
    route("post", "/api/v1/auth/verify-email/send", {
      summary: "Mail a new link to confirm the address",
      operationId: "sendVerificationEmail",
      tag,
      access: "enrol",
      answer: schemas.VerificationSent,
      refusals: [401, 429],
      async run({ acting, context }) {
        const mailed = await calls.sendVerification(acting, context);
        const message = mailed ? "Verification email sent" : "The address is confirmed already";
        // The token goes by mail only.
        return { data: { sent: mailed, verification_token: "", message } };
      },
    }),
    route("post", "/api/v1/auth/verify-email", {
      summary: "Confirm an address with the mailed token",
      operationId: "verifyEmail",
      tag,
      access: "public",
      body: schemas.VerifyEmailRequest,
      answer: schemas.EmailVerified,
      refusals: [400],
      async run({ body, context }) {
        const { accountId } = await calls.verifyEmail(body.token, context);
        const message = "Email verified successfully";
        return { data: { verified: true, user_id: accountId, message } };
      },
    }),
    route("post", "/api/v1/auth/resend-verification", {
      summary: "Mail a new link to an address, whoever asks",
      operationId: "resendVerification",
      tag,
      access: "public",
      body: schemas.ResendVerificationRequest,
      answer: schemas.VerificationSent,
      refusals: [400, 429],
      async run({ body, context }) {
        await calls.resendVerification(body.email, context);
        return { data: { sent: true, verification_token: "", message: sent } };
      },
    }),
  ];
}

function profileRoutes(parts: FamilyParts): readonly Route[] {
  const { calls } = parts;
  return [
    route("get", "/api/v1/users/profile", {
      summary: "Read the profile",
      operationId: "getProfile",
      tag,
      access: "enrol",
      answer: schemas.UserProfile,
      refusals: [401],
      run: ({ acting }) => profileReply(parts, acting, calls.profile(acting)),
    }),
    ...(["put", "patch"] as const).map((method) =>
      route(method, "/api/v1/users/profile", {
        summary: "Change the profile; a new address is pending until it is confirmed",
        operationId: method === "put" ? "updateProfile" : "patchProfile",
        tag,
        access: "aal1",
        body: schemas.UpdateProfileRequest,
        answer: schemas.UserProfile,
        refusals: [400, 401],
        async run({ body, acting, context }) {
          const { first_name: firstName, last_name: lastName, email } = body;
          const wanted = {
            ...(firstName === undefined ? {} : { firstName }),
            ...(lastName === undefined ? {} : { lastName }),
            ...(email === undefined ? {} : { email }),
          };
          return profileReply(parts, acting, await calls.updateProfile(acting, wanted, context));
        },
      }),
    ),
    route("get", "/api/v1/users/me", {
      summary: "Read the profile as OpenID Connect claims",
      operationId: "userInfo",
      tag,
      access: "enrol",
      answer: schemas.UserClaims,
      refusals: [401],
      run({ acting }) {
        const { id, username, email, emailVerified, firstName, lastName, updatedAt } =
          calls.profile(acting);
        return {
          data: {
            sub: id,
            preferred_username: username,
            email,
            email_verified: emailVerified,
            ...(firstName === undefined ? {} : { given_name: firstName }),
            ...(lastName === undefined ? {} : { family_name: lastName }),
            updated_at: Math.floor(updatedAt.getTime() / 1000),
          },
        };
      },
    }),
  ];
}

function profileReply(parts: FamilyParts, acting: AccountActing, profile: Profile): Reply {
  const { id, username, email, emailVerified, firstName, lastName, createdAt, updatedAt } = profile;
  return {
    data: {
      ...userInfo(parts, id, username),
      email,
      ...(firstName === undefined ? {} : { first_name: firstName }),
      ...(lastName === undefined ? {} : { last_name: lastName }),
      mfa_enabled: parts.calls.status(acting).enabled,
      email_verified: emailVerified,
      created_at: createdAt.toISOString(),
      updated_at: updatedAt.toISOString(),
    },
  };
}

/** The documented path, and the one that the published JavaScript client calls. */
function passwordRoutes({ calls }: FamilyParts): readonly Route[] {
  const wrong = {
    status: 400,
    code: "VALIDATION_ERROR",
    message: "Current password is incorrect",
  } as const;
  return ["change-password", "password"].map((last) =>
    route("post", `/api/v1/users/${last}`, {
      summary: "Change the password; ends every other session",
      operationId: last === "password" ? "changePasswordAlias" : "changePassword",
      tag,
      access: "aal1",
      body: schemas.ChangePasswordRequest,
      answer: schemas.NoData,
      refusals: [400, 401, 429],
      words: { wrong_password: wrong },
      async run({ body, acting, context }) {
        const { current_password: current, new_password: next } = body;
        await calls.changePassword(acting, { current, next }, context);
        return { message: "Password changed successfully" };
      },
    }),
  );
}

function sessionRoutes({ calls }: FamilyParts): readonly Route[] {
  const missing = { status: 404, code: "NOT_FOUND", message: "Session not found" } as const;
  return [
    route("get", "/api/v1/users/sessions", {
      summary: "List the user's sessions",
      operationId: "listSessions",
      tag,
      access: "aal1",
      answer: schemas.SessionList,
      refusals: [401],
      run: ({ acting }) => ({
        data: calls.sessions(acting).map((session) => sessionInfo(session, acting.sessionId)),
      }),
    }),
    route("delete", "/api/v1/users/sessions/:session_id", {
      summary: "End one of the user's sessions",
      operationId: "revokeSession",
      tag,
      access: "aal1",
      params: schemas.SessionPath,
      answer: schemas.NoData,
      refusals: [401, 403, 404],
      words: { not_found: missing },
      async run({ params, acting, context }) {
        await calls.revokeSession(acting, params.session_id, context);
        return { message: "Session revoked successfully" };
      },
    }),
  ];
}

function sessionInfo({ id, label, ip, createdAt, lastSeenAt }: Session, current: string): object {
  return {
    id,
    device: label,
    location: "",
    ip_address: ip,
    created_at: createdAt.toISOString(),
    last_active: lastSeenAt.toISOString(),
    is_current: id === current,
  };
}
