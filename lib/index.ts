/**
 * The core of polyfactor: accounts, second factors and sessions, without any wire.
 *
 * @packageDocumentation
 */
export { createAuth, type Auth } from "./auth.ts";
export { type AuthOptions, type SendLimits } from "./auth-options.ts";
export { createFactors, type FactorsOptions, type StandaloneFactors } from "./create-factors.ts";
export type { HashingOptions, PolicyOptions } from "./create-core.ts";
export type { Calls, Factors, Submission } from "./calls.ts";
export type { Acting, AccountActing, Progress, Session } from "./core.ts";
export type { Context } from "./context.ts";
export { AuthError, type AuthErrorDetail, type Code } from "./errors.ts";
export type { AuditEvent, AuditSink, AuditType } from "./audit.ts";
export type {
  Account,
  AccountName,
  BackupCodes,
  Budget,
  BudgetName,
  EmailAddress,
  Entries,
  FactorRecord,
  MailedPurpose,
  MailedToken,
  Method,
  PendingLogin,
  ProfileFields,
  ProofKind,
  Proofs,
  SessionEntry,
  TotpDevice,
  TotpEnrolment,
} from "./account.ts";
export {
  change,
  type Change,
  type ChangeBuilder,
  type Condition,
  type Effect,
  type Path,
  type Stored,
  type Test,
} from "./change.ts";
export { apply } from "./apply.ts";
export { toMongo, type MongoChange } from "./store/to-mongo.ts";
export { memoryRecords } from "./store/memory-records.ts";
export {
  mongoRecords,
  type MongoRecordsOptions,
  type NativeCollection,
} from "./store/mongo-records.ts";
export type { Records, SendLimit, Store, TenantStore } from "./store/port.ts";
export type { Level, PolicySubject, SecondFactorPolicy, SecondFactorRule } from "./policy.ts";
export type { Handle } from "./crypto/ticket.ts";
export type { Key } from "./crypto/keyring.ts";
export {
  createPasswordHasher,
  type PasswordHasher,
  type PasswordHasherOptions,
} from "./crypto/password-hash.ts";
export {
  pwnedPasswords,
  type BreachCheck,
  type PwnedPasswordsOptions,
} from "./crypto/breached-passwords.ts";
export type { Delivery, Message } from "./delivery/port.ts";
export type { MessageKind } from "./delivery/messages.ts";
export type { BackupCodeForm } from "./factors/backup-code.ts";
export type { Choice, SecondProof } from "./flows/code-attempt.ts";
export type { ImportedAccount } from "./flows/administration.ts";
export type { Confirmed, ConfirmOptions, TotpSetup, TotpSetupOptions } from "./flows/enrolment.ts";
export type { FactorStatus } from "./flows/status.ts";
export type { Profile, ProfileChange } from "./flows/profile.ts";
export type { Registered, Registration } from "./flows/registration.ts";
export { StepUpRequired, type Requirement } from "./flows/acting.ts";
export { type Refreshed } from "./flows/refresh.ts";
export {
  memoryThrottle,
  RateLimited,
  type Allowance,
  type Throttle,
  type ThrottleOptions,
} from "./throttle.ts";
