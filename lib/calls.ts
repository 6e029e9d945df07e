import type { Context } from "./context.ts";
import type { Acting, AccountActing, AccountCore, Core, Progress, Session } from "./core.ts";
import type { Handle } from "./crypto/ticket.ts";
import type { BackupCodeForm } from "./factors/backup-code.ts";
import { demandFresh, type Requirement } from "./flows/acting.ts";
import * as administration from "./flows/administration.ts";
import {
  beginTotp,
  confirmTotp,
  type Confirmed,
  type ConfirmOptions,
  type TotpSetup,
  type TotpSetupOptions,
} from "./flows/enrolment.ts";

import { replaceBackupCodes } from "./flows/backup-codes.ts";
import { issueAccessToken, issueRefreshToken, logout } from "./flows/bearer.ts";
import { refreshSession, type Refreshed } from "./flows/refresh.ts";
import { disableSecondFactors, removeTotp } from "./flows/removal.ts";
import { factorStatus, type FactorStatus } from "./flows/status.ts";
import { resendVerification, sendVerification, verifyEmail } from "./flows/email-address.ts";
import { describeSession } from "./flows/gate.ts";
import { begin, login } from "./flows/login.ts";
import { unlockByToken } from "./flows/mail.ts";
import { changePassword } from "./flows/password.ts";
import { profileOf, updateProfile, type Profile, type ProfileChange } from "./flows/profile.ts";
import { register, type Registered, type Registration } from "./flows/registration.ts";
import { stepUp } from "./flows/step-up.ts";
import { submit } from "./flows/second-factor.ts";
import { type Choice, type SecondProof } from "./flows/code-attempt.ts";
import {
  authenticate,
  findSession,
  listSessions,
  revokeSession,
  revokeSessions,
} from "./flows/sessions.ts";

/** A code and the factors it may be held against. */
export interface Submission {
  readonly choice: Choice;
  readonly proof: SecondProof;
}

/**
 * What strategies and middleware need, on accounts of ours and on a host's own users alike. Every
 * refusal is an `AuthError`; which codes a call can give stands with it.
 */
export interface Factors<A extends Acting = Acting> {
  /** Whether somebody can be found by a name, which passwords need. */
  readonly hasNames: boolean;
  /** The first factor by name and password. `invalid_credentials`, `too_many_attempts`, `rate_limited`. */
  login(name: string, proof: { readonly password: string }, context: Context): Promise<Progress>;
  /**
   * Somebody else checked the first factor; the caller vouches for the subject. `amr`: what it states of
   * itself (RFC 8176). `invalid_credentials` where there is no such subject or it may not log in.
   */
  begin(
    subject: string,
    first: { readonly amr?: readonly string[] },
    context: Context,
  ): Promise<Progress>;
  /**
   * Finish a pending login with a code. The ticket is what the login answered, or subject and entry,
   * vouched for by the host's own session. `invalid_ticket`, `invalid_code`, `too_many_attempts`, `rate_limited`.
   */
  submit(ticket: string | Handle, submission: Submission, context: Context): Promise<Progress>;
  /** A second factor within a session: raises it. Codes as `submit`; `not_enrolled`, `invalid_token`. */
  stepUp(acting: A, submission: Submission, context: Context): Promise<Progress>;
  /** Who holds this access token. `invalid_token`, `enrolment_required`, `step_up_required`. */
  authenticate(token: string, requirement: Requirement, context: Context): Promise<A>;
  /** The live session that a host's own session names. Codes as `authenticate`. */
  findSession(
    named: { readonly subject: string; readonly sessionId: string },
    requirement: Requirement,
    context: Context,
  ): Promise<A>;
  /** Refuse where the acting session did not use its second factor in the last 15 minutes. `step_up_required`. */
  demandFresh(acting: A, context: Context): void;
  /** Note in the audit trail that a request was refused for its form, before any flow saw it. */
  noteRefusal(reason: string, context: Context): void;
  /** The acting session. */
  session(acting: A): Session;
  /** The live sessions of the acting account, newest first. */
  sessions(acting: A): readonly Session[];
  /** `not_found` */
  revokeSession(acting: A, sessionId: string, context: Context): Promise<void>;
  /** End every session; with `keepOwn` all but the acting one. `conflict` */
  revokeSessions(acting: A, scope: { readonly keepOwn: boolean }, context: Context): Promise<void>;
  /** End the sessions of these tokens; an expired token of ours counts. `invalid_token` */
  logout(
    tokens: { readonly accessToken: string; readonly refreshToken?: string },
    context: Context,
  ): Promise<void>;
  /** Use a refresh token, spending it where `rotate` is set. `invalid_token`, `account_disabled`. */
  refresh(
    token: string,
    options: { readonly rotate: boolean },
    context: Context,
  ): Promise<Refreshed>;
  /** A JWT (RFC 9068) for a session; `lifetime` in seconds. @default 900 */
  accessToken(
    subject: string,
    session: Session,
    options?: { readonly claims?: Readonly<Record<string, unknown>>; readonly lifetime?: number },
  ): Promise<string>;
  /** A JWT that `refresh` takes, good as long as the session. */
  refreshToken(subject: string, session: Session): Promise<string>;
  /** Begin to set up an authenticator app. `step_up_required` */
  enrolTotp(acting: A, options: TotpSetupOptions, context: Context): Promise<TotpSetup>;
  /** Confirm it with a code. `nothing_pending`, `invalid_code`, `too_many_attempts`, `step_up_required`. */
  confirmTotp(
    acting: A,
    confirmation: ConfirmOptions & { readonly code: string },
    context: Context,
  ): Promise<Confirmed>;
  /** Remove one app, or every one. `not_enrolled`, `not_found`, `last_factor`, `step_up_required`, `conflict`. */
  removeTotp(acting: A, which: { readonly deviceId?: string }, context: Context): Promise<void>;
  /** Switch every second factor off with password and code. `not_enrolled`, `wrong_password`, `invalid_code`, `last_factor`. */
  disableSecondFactors(
    acting: A,
    proof: { readonly password: string; readonly code: string },
    context: Context,
  ): Promise<void>;
  /** New backup codes. `not_enrolled`, `step_up_required`, `conflict`. */
  replaceBackupCodes(acting: A, form: BackupCodeForm, context: Context): Promise<readonly string[]>;
  /** The second factors of the acting account. */
  status(acting: A): FactorStatus;
  /** `wrong_password`, `password_…`, `step_up_required`, `too_many_attempts`. */
  changePassword(
    acting: A,
    change: { readonly current: string; readonly next: string },
    context: Context,
  ): Promise<void>;
}

/** What one tenant of `createAuth` offers: factors and sessions, names, registration, administration. */
export interface Calls extends Factors<AccountActing> {
  /** `invalid_input`, `password_…`, `name_taken`, `rate_limited`. */
  register(registration: Registration, context: Context): Promise<Registered>;
  /** The acting account as its owner sees it. */
  profile(acting: AccountActing): Profile;
  /** `invalid_input`, `step_up_required` for a new address, `conflict`. */
  updateProfile(acting: AccountActing, change: ProfileChange, context: Context): Promise<Profile>;
  /** Mail a new link; false where the address is confirmed. `rate_limited` */
  sendVerification(acting: AccountActing, context: Context): Promise<boolean>;
  /** The same by address, with one answer for all. `invalid_input`, `rate_limited` */
  resendVerification(email: string, context: Context): Promise<void>;
  /** Spend a mailed token. `invalid_mailed_token` */
  verifyEmail(token: string, context: Context): Promise<{ readonly accountId: string }>;
  /** Spend the mailed token that switches a password on again. `invalid_mailed_token` */
  unlockByToken(token: string, context: Context): Promise<void>;

  /** The host's own: take over an account. `invalid_input`, `name_taken` */
  import(account: administration.ImportedAccount): Promise<{ readonly id: string }>;
  /** The host's own: refuse logins, end every session. `not_found` */
  disable(accountId: string): Promise<void>;
  /** The host's own: let a disabled account log in again. `not_found`, `conflict` */
  enable(accountId: string): Promise<void>;
  /** The host's own: open what too many failures have closed. `not_found` */
  unlock(accountId: string): Promise<void>;
  /** The host's own: delete the account, then its names. `not_found` */
  remove(accountId: string): Promise<void>;
  /** The host's own: end every session and pending login. `not_found` */
  endSessions(accountId: string): Promise<void>;
  /** The host's own: remove every second factor. `not_found` */
  resetFactors(accountId: string): Promise<void>;
}

/** The flows, bound to a core. */
export function bindFactors<A extends Acting>(core: Core): Factors<A> {
  return {
    hasNames: core.directory !== undefined,
    login: (name, proof, context) => login(core, name, proof, context),
    begin: (subject, { amr }, context) =>
      begin(core, subject, amr === undefined ? {} : { amr: amr.join(" ") }, context),
    submit: (ticket, submission, context) => submit(core, ticket, submission, context),
    stepUp: (acting, submission, context) => stepUp(core, acting, submission, context),
    // The store that the core reads from decides what a record holds, and `A` says it.
    authenticate: async (token, requirement, context) =>
      (await authenticate(core, token, requirement, context)) as A,
    findSession: async (named, requirement, context) =>
      (await findSession(core, named, requirement, context)) as A,
    demandFresh: (acting, context) => {
      demandFresh(core, acting, context);
    },
    noteRefusal: (reason, context) => {
      core.audit.record({ type: "request_refused", outcome: "refused", reason }, context);
    },
    session: (acting) => describeSession(core, acting),
    sessions: (acting) => listSessions(core, acting),
    revokeSession: (acting, id, context) => revokeSession(core, acting, id, context),
    revokeSessions: (acting, scope, context) => revokeSessions(core, acting, scope, context),
    logout: (tokens, context) => logout(core, tokens, context),
    refresh: (token, options, context) => refreshSession(core, token, options, context),
    accessToken: (subject, session, options = {}) =>
      issueAccessToken(core, subject, session, options),
    refreshToken: (subject, session) => issueRefreshToken(core, subject, session),
    enrolTotp: (acting, options, context) => beginTotp(core, acting, options, context),
    confirmTotp: (acting, confirmation, context) =>
      confirmTotp(core, acting, confirmation, context),
    removeTotp: (acting, which, context) => removeTotp(core, acting, which, context),
    disableSecondFactors: (acting, proof, context) =>
      disableSecondFactors(core, acting, proof, context),
    replaceBackupCodes: (acting, form, context) => replaceBackupCodes(core, acting, form, context),
    status: ({ record }) => factorStatus(record),
    changePassword: (acting, wanted, context) => changePassword(core, acting, wanted, context),
  };
}

/** The same on accounts of ours, and what only they have. */
export function bindAccounts(core: AccountCore): Calls {
  return {
    ...bindFactors<AccountActing>(core),
    register: (registration, context) => register(core, registration, context),
    profile: ({ subject, record }) => profileOf(subject, record),
    updateProfile: (acting, wanted, context) => updateProfile(core, acting, wanted, context),
    sendVerification: (acting, context) => sendVerification(core, acting, context),
    resendVerification: (email, context) => resendVerification(core, email, context),
    verifyEmail: (token, context) => verifyEmail(core, token, context),
    unlockByToken: (token, context) => unlockByToken(core, token, context),
    import: (account) => administration.importAccount(core, account),
    disable: (id) => administration.disableAccount(core, id),
    enable: (id) => administration.enableAccount(core, id),
    unlock: (id) => administration.unlockAccount(core, id),
    remove: (id) => administration.removeAccount(core, id),
    endSessions: (id) => administration.endSessions(core, id),
    resetFactors: (id) => administration.resetFactors(core, id),
  };
}
