/**
 * Why something was refused, as the public may know it. Part of the API: a code is never renamed.
 * Each wire maps every code to its own status and words.
 */
export type Code =
  /** A value does not have the form it must have. */
  | "invalid_input"
  /** No credential was presented where one is needed. */
  | "unauthenticated"
  /** A bearer or refresh token that is not, or no longer, good. */
  | "invalid_token"
  /** Name or password wrong, whatever the reason. */
  | "invalid_credentials"
  /** The current password of a logged-in user is wrong. */
  | "wrong_password"
  /** A second-factor code is wrong, spent or of a factor that is not enrolled. */
  | "invalid_code"
  /** A pending login that is unknown, expired, used up or finished. */
  | "invalid_ticket"
  /** A mailed one-time token that is unknown, expired, spent or for another purpose. */
  | "invalid_mailed_token"
  /** The account's budget for this kind of proof is used up for now. */
  | "too_many_attempts"
  /** The client's address has made too many attempts. */
  | "rate_limited"
  /** The name or address belongs to an account. */
  | "name_taken"
  | "password_too_short"
  | "password_too_long"
  | "password_common"
  | "password_breached"
  /** The session needs a fresh second factor (RFC 9470). */
  | "step_up_required"
  /** The session may only enrol a factor, because policy requires one. */
  | "enrolment_required"
  | "forbidden"
  /** A cookie-authenticated change came from another site. */
  | "cross_site"
  | "not_found"
  /** The account has no such factor. */
  | "not_enrolled"
  /** No enrolment is waiting for confirmation. */
  | "nothing_pending"
  /** Policy requires a second factor, and this would remove the last one. */
  | "last_factor"
  /** Another request changed the account first; a new try sees what it is now. */
  | "conflict"
  /** This application does not offer the factor. */
  | "not_offered"
  /** The account is disabled. Told only to whoever holds a token of it. */
  | "account_disabled"
  /** A dependency failed, a deadline passed or a queue is full. */
  | "unavailable";

/** What a refusal may carry beside its code. */
export interface AuthErrorDetail {
  /** Ours alone, for the audit trail; never sent. */
  readonly reason?: string;
  /** Seconds after which a new attempt makes sense. */
  readonly retryAfter?: number;
  /** The field the code is about, where one field is. */
  readonly field?: string;
  readonly cause?: unknown;
}

/** The one error that leaves the core: a public `code`, and a private `reason` for the audit trail. */
export class AuthError extends Error {
  override readonly name = "AuthError";
  readonly code: Code;
  /** Private: for the audit trail, never for an answer. */
  readonly reason: string;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  readonly field: string | undefined;

  constructor(code: Code, { reason = code, retryAfter, field, cause }: AuthErrorDetail = {}) {
    super(code, { cause });
    this.code = code;
    this.reason = reason;
    this.retryAfter = retryAfter;
    this.field = field;
  }
}
