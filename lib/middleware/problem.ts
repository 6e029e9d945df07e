import { AuthError, type Code } from "../errors.ts";
import { StepUpRequired } from "../flows/acting.ts";
import { RateLimited } from "../throttle.ts";

interface Problem {
  readonly status: number;
  readonly title: string;
}

/** What each refusal is over HTTP where no family says otherwise. */
const PROBLEMS: Readonly<Record<Code, Problem>> = {
  invalid_input: { status: 400, title: "The request does not have the form it must have" },
  unauthenticated: { status: 401, title: "Authentication is required" },
  invalid_token: { status: 401, title: "The token is not valid" },
  invalid_credentials: { status: 401, title: "The name or the password is wrong" },
  wrong_password: { status: 401, title: "The password is wrong" },
  invalid_code: { status: 401, title: "The code is wrong" },
  invalid_ticket: { status: 401, title: "The login has ended; begin again" },
  invalid_mailed_token: { status: 400, title: "The link is no longer valid" },
  too_many_attempts: { status: 429, title: "Too many attempts" },
  rate_limited: { status: 429, title: "Too many requests" },
  name_taken: { status: 409, title: "The name is taken" },
  password_too_short: { status: 422, title: "The password is too short" },
  password_too_long: { status: 422, title: "The password is too long" },
  password_common: { status: 422, title: "The password is too common" },
  password_breached: { status: 422, title: "The password is known from a breach" },
  step_up_required: { status: 401, title: "A fresh second factor is required" },
  enrolment_required: { status: 403, title: "A second factor must be set up first" },
  forbidden: { status: 403, title: "This is not allowed" },
  cross_site: { status: 403, title: "The request came from another site" },
  not_found: { status: 404, title: "There is no such thing" },
  not_enrolled: { status: 409, title: "There is no such factor" },
  nothing_pending: { status: 409, title: "No set-up is waiting for confirmation" },
  last_factor: { status: 409, title: "The last factor cannot be removed" },
  conflict: { status: 409, title: "Something else changed first; try again" },
  not_offered: { status: 404, title: "This is not offered" },
  account_disabled: { status: 401, title: "The account is disabled" },
  unavailable: { status: 503, title: "Temporarily unavailable" },
};

/** An answer's status, headers and body by RFC 9457, for what belongs to no family (EX-09). */
export interface ProblemAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly type: string;
    readonly title: string;
    readonly status: number;
    readonly code: Code;
    readonly "violated-policies"?: readonly string[];
  };
}

/** The refusal as a problem. What is not a refusal of ours is `unavailable`: its text stays inside. */
export function problemOf(error: unknown): ProblemAnswer {
  const refusal = asRefusal(error);
  const { status, title } = PROBLEMS[refusal.code];
  return {
    status,
    headers: { ...headersOf(refusal), "Content-Type": "application/problem+json" },
    body: {
      type: `urn:polyfactor:problem:${refusal.code}`,
      title,
      status,
      code: refusal.code,
      ...(status === 429 ? { "violated-policies": [policyOf(refusal)] } : {}),
    },
  };
}

/** A refusal as an error handler of Express takes it: with the status and headers of its answer. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly code: Code;
  readonly status: number;
  /** `Retry-After` and the like; no `Content-Type`, for the handler writes its own body. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(refusal: AuthError) {
    const { status, body } = problemOf(refusal);
    super(body.title, { cause: refusal });
    this.code = refusal.code;
    this.status = status;
    this.headers = headersOf(refusal);
  }
}

/** A refusal of ours as it is, anything else as `unavailable`. */
export function asRefusal(error: unknown): AuthError {
  if (error instanceof AuthError) return error;
  if (error instanceof ProblemError && error.cause instanceof AuthError) return error.cause;
  return new AuthError("unavailable", { reason: "fault", retryAfter: 1, cause: error });
}

/** The headers that go with a refusal in every wire: challenge, waiting time, no storing. */
export function headersOf(refusal: AuthError): Record<string, string> {
  const challenge = challengeOf(refusal);
  const { retryAfter, code } = refusal;
  const wait = retryAfter ?? (PROBLEMS[code].status === 503 ? 1 : undefined);
  return {
    "Cache-Control": "no-store",
    ...(challenge === undefined ? {} : { "WWW-Authenticate": challenge }),
    ...(wait === undefined ? {} : { "Retry-After": String(wait) }),
    ...(PROBLEMS[code].status === 429 && wait !== undefined ? limitHeaders(refusal, wait) : {}),
  };
}

/** The draft's structured fields (RFC 9651); no partition key, which could name the account (TH-09). */
function limitHeaders(refusal: AuthError, wait: number): Record<string, string> {
  const policy = policyOf(refusal);
  return {
    "RateLimit-Policy": `"${policy}";q=${quotaOf(refusal)}`,
    RateLimit: `"${policy}";r=0;t=${wait}`,
  };
}

/** Attempts that the policy allows before it delays. */
function quotaOf(refusal: AuthError): number {
  return refusal instanceof RateLimited ? refusal.allowance.limit : 5;
}

function policyOf({ code }: AuthError): string {
  return code === "rate_limited" ? "address" : "attempts";
}

/** `WWW-Authenticate` for a 401 (RFC 6750 §3, RFC 9470 §3). Never `Basic`, which opens a browser's dialog. */
function challengeOf(refusal: AuthError): string | undefined {
  const realm = 'Bearer realm="polyfactor"';
  if (refusal instanceof StepUpRequired) {
    const { level, maxAge } = refusal;
    const age = maxAge === undefined ? "" : `, max_age="${maxAge}"`;
    const acr = level === "aal2" ? "aal2" : "aal1";
    return `${realm}, error="insufficient_user_authentication", acr_values="${acr}"${age}`;
  }
  if (refusal.code === "invalid_token") return `${realm}, error="invalid_token"`;
  return PROBLEMS[refusal.code].status === 401 ? realm : undefined;
}
