import { AuthError, type Code } from "../../lib/errors.ts";
import { RateLimited } from "../../lib/throttle.ts";
import { InputError } from "../shared/input.ts";
import type { Wire } from "../shared/mount.ts";
import type { Refusal, Reply, Route } from "../shared/route.ts";

const invalid = (message: string): Refusal => ({ status: 400, code: "VALIDATION_ERROR", message });
const forbidden = (message: string): Refusal => ({ status: 403, code: "FORBIDDEN", message });
const conflict = (message: string): Refusal => ({ status: 409, code: "CONFLICT", message });

/** What each refusal is in this family, where its route has no words of its own. */
const WORDS: Readonly<Record<Code, Refusal>> = {
  invalid_input: invalid("The request is not valid"),
  unauthenticated: { status: 401, code: "MISSING_TOKEN", message: "Authentication required" },
  invalid_token: { status: 401, code: "INVALID_TOKEN", message: "Invalid or expired token" },
  invalid_credentials: {
    status: 401,
    code: "INVALID_CREDENTIALS",
    message: "Invalid username or password",
  },
  wrong_password: { status: 401, code: "MFA_UNAUTHORIZED", message: "Incorrect password" },
  invalid_code: { status: 400, code: "MFA_INVALID_CODE", message: "Invalid TOTP code" },
  invalid_ticket: {
    status: 401,
    code: "MFA_INVALID_CODE",
    message: "Invalid or expired MFA challenge or code",
  },
  invalid_mailed_token: invalid("Invalid or expired verification token"),
  too_many_attempts: {
    status: 429,
    code: "ACCOUNT_LOCKED",
    message: "Too many failed login attempts. Please try again later.",
  },
  rate_limited: {
    status: 429,
    code: "RATE_LIMIT_EXCEEDED",
    message: "Too many requests. Please try again later.",
  },
  name_taken: {
    status: 409,
    code: "USER_EXISTS",
    message: "An account with the provided details already exists",
  },
  password_too_short: invalid("The password is too short"),
  password_too_long: invalid("The password is too long"),
  password_common: invalid("The password is too common"),
  password_breached: invalid("The password is known from a data breach"),
  step_up_required: {
    status: 401,
    code: "MFA_REQUIRED",
    message: "Log in again with your second factor",
  },
  enrolment_required: forbidden("A second factor must be set up first"),
  forbidden: forbidden("Not allowed"),
  cross_site: forbidden("Not allowed from another site"),
  not_found: { status: 404, code: "NOT_FOUND", message: "Not found" },
  not_enrolled: {
    status: 400,
    code: "MFA_NOT_ENABLED",
    message: "MFA is not enabled for this account",
  },
  nothing_pending: {
    status: 400,
    code: "MFA_NOT_PENDING",
    message: "No pending MFA setup found. Call /mfa/setup first.",
  },
  last_factor: conflict("A second factor is required for this account"),
  conflict: conflict("The account was changed by another request. Please try again."),
  not_offered: { status: 404, code: "NOT_FOUND", message: "Not offered here" },
  account_disabled: {
    status: 401,
    code: "ACCOUNT_DEACTIVATED",
    message: "The account is deactivated",
  },
  unavailable: {
    status: 503,
    code: "SERVICE_UNAVAILABLE",
    message: "Temporarily unavailable. Please try again.",
  },
};

/** The envelope of auth-framework: absent members are left out, never null. */
export const wire: Wire = {
  headers: {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-XSS-Protection": "1; mode=block",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
  },
  succeed({ status = 200, data, message, error }: Reply) {
    if (error !== undefined) return { status, body: { success: false, error } };
    return {
      status,
      body: {
        success: true,
        ...(data === undefined ? {} : { data }),
        ...(message === undefined ? {} : { message }),
      },
    };
  },
  refuse(refusal, route) {
    const { status, code, message } = wordsFor(refusal, route);
    const details = detailsOf(refusal);
    return {
      status,
      body: {
        success: false,
        error: { code, message, ...(details === undefined ? {} : { details }) },
      },
      headers: refusal instanceof RateLimited ? limitHeaders(refusal) : {},
    };
  },
};

function wordsFor(refusal: AuthError, route: Route | undefined): Refusal {
  if (refusal instanceof InputError) {
    const code = refusal.status === 405 ? "METHOD_NOT_ALLOWED" : "VALIDATION_ERROR";
    return { status: refusal.status, code, message: refusal.words };
  }
  return route?.words?.[refusal.code] ?? WORDS[refusal.code];
}

function detailsOf(refusal: AuthError): Record<string, unknown> | undefined {
  if (refusal instanceof InputError) {
    return refusal.path.length === 0
      ? undefined
      : { field: refusal.path.join("."), issue: refusal.issue };
  }
  const { status } = WORDS[refusal.code];
  if (status === 429) return { retry_after: refusal.retryAfter ?? 1 };
  if (refusal.code.startsWith("password_")) return { field: "password", issue: refusal.code };
  if (refusal.code === "invalid_input" && refusal.field !== undefined) {
    return { field: refusal.field, issue: "invalid" };
  }
  return undefined;
}

function limitHeaders({ allowance }: RateLimited): Record<string, string> {
  return {
    "X-RateLimit-Limit": String(allowance.limit),
    "X-RateLimit-Remaining": String(allowance.remaining),
    "X-RateLimit-Reset": String(Math.ceil(allowance.resetAt / 1000)),
  };
}
