import type { FactorRecord } from "./account.ts";
import type { Audit } from "./audit.ts";
import type { Core, CorePolicy, Directory } from "./core.ts";
import type { BreachCheck } from "./crypto/breached-passwords.ts";
import { createHashingSlots } from "./crypto/hashing-slots.ts";
import type { Keyring } from "./crypto/keyring.ts";
import { createPasswordHasher, type PasswordHasher } from "./crypto/password-hash.ts";
import { createPasswordPolicy } from "./crypto/password-policy.ts";
import { createSealer } from "./crypto/sealing.ts";
import { createTokens } from "./crypto/tokens.ts";
import type { SecondFactorPolicy } from "./policy.ts";
import type { Records } from "./store/port.ts";
import { memoryThrottle, type Throttle, type ThrottleOptions } from "./throttle.ts";

/** The rules a host may set. */
export interface PolicyOptions {
  /** Who must have a second factor. @default "optional" */
  readonly secondFactor?: SecondFactorPolicy;
  /** Seconds that a session lives where a wire says nothing else, at most 30 days. @default 7 days */
  readonly sessionLifetime?: number;
  /** Seconds in which the refresh token before still gives the same successor, at most 60. @default 10 */
  readonly refreshGrace?: number;
  /**
   * Code points that a new password needs, at least 8. @default 15 where a password alone opens the
   * account, 8 where policy enforces a second factor (NIST SP 800-63B-4 §3.1.1.2)
   */
  readonly passwordLength?: number;
  /** Whether breached passwords are looked up, e.g. `pwnedPasswords()`. @default false: the local list alone */
  readonly breachedPasswords?: BreachCheck | false;
  /** Whether an address must be confirmed before its account can log in. @default false */
  readonly verifiedToLogIn?: boolean;
}

/** How much hashing may happen at once, and what it costs. */
export interface HashingOptions {
  /** Hashes at once, 1 to 4: fewer than the free attempts of an account. @default 4 */
  readonly slots?: number;
  /** Callers that may wait for a slot. @default 100 */
  readonly queue?: number;
  /** Makes and verifies password hashes. @default argon2id, m=19456 KiB, t=2, p=1 */
  readonly hasher?: PasswordHasher;
}

/** A policy that was read, with what only its own checks need. */
export interface ReadPolicy extends CorePolicy {
  readonly breached: BreachCheck | false;
}

const DAY = 86_400;

/** @throws TypeError naming the option. */
export function readPolicy(options: PolicyOptions = {}): ReadPolicy {
  refuseUnknown("policy.", options, POLICY_OPTIONS);
  const {
    secondFactor = "optional",
    sessionLifetime = 7 * DAY,
    refreshGrace = 10,
    passwordLength,
    breachedPasswords = false,
    verifiedToLogIn = false,
  } = options;
  refuseRule(secondFactor);
  within("policy.sessionLifetime", sessionLifetime, 60, 30 * DAY);
  within("policy.refreshGrace", refreshGrace, 0, 60);
  if (passwordLength !== undefined) within("policy.passwordLength", passwordLength, 8, 64);
  if (typeof verifiedToLogIn !== "boolean")
    throw new TypeError("policy.verifiedToLogIn: a boolean");
  if (breachedPasswords !== false && typeof breachedPasswords !== "function") {
    throw new TypeError("policy.breachedPasswords: a function, or false");
  }
  if (passwordLength !== undefined && passwordLength < 15) {
    process.emitWarning(
      "polyfactor: policy.passwordLength is below 15, which NIST SP 800-63B-4 asks of a password that can stand alone",
    );
  }

  return {
    secondFactor,
    sessionLifetime: sessionLifetime * 1000,
    refreshGrace: refreshGrace * 1000,
    passwordLength: { alone: passwordLength ?? 15, beside: passwordLength ?? 8 },
    verifiedToLogIn,
    breached: breachedPasswords,
  };
}

const POLICY_OPTIONS: readonly (keyof PolicyOptions)[] = [
  "secondFactor",
  "sessionLifetime",
  "refreshGrace",
  "passwordLength",
  "breachedPasswords",
  "verifiedToLogIn",
];

/** A misspelt option would be a rule that silently does not hold. @throws TypeError naming it */
export function refuseUnknown(prefix: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`${prefix}${name}: there is no such option`);
  }
}

/** @throws TypeError naming the option that is no function. */
export function refuseNoFunction(option: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function")
    throw new TypeError(`${option}: a function`);
}

/** A throttle as it is, or one in memory by these numbers. @throws TypeError */
export function readThrottle(given: Throttle | ThrottleOptions = {}): Throttle {
  if (typeof given !== "object" || (given as unknown) === null) {
    throw new TypeError("throttle: { limit, window }, or an object with take and giveBack");
  }
  return "take" in given ? given : memoryThrottle(given);
}

function refuseRule(rule: SecondFactorPolicy): void {
  if (typeof rule === "function" || rule === "optional" || rule === "required") return;
  const from = (rule as { requiredFrom?: unknown } | undefined)?.requiredFrom;
  if (from instanceof Date && !Number.isNaN(from.getTime())) return;
  throw new TypeError(
    'policy.secondFactor: "optional", "required", { requiredFrom: Date } or a function of the account',
  );
}

function within(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw new TypeError(`${option}: a whole number from ${least} to ${most}`);
}

/** What differs between accounts of ours and a host's own users. */
export interface CoreParts {
  readonly tenant: string;
  /** Shown in apps and mails. */
  readonly issuer: string;
  /** `iss` of tokens. */
  readonly tokenIssuer: string;
  readonly keyring: Keyring;
  readonly policy: ReadPolicy;
  readonly hashing: SharedHashing;
  readonly throttle: Throttle;
  readonly records: Records;
  readonly directory: Directory | undefined;
  readonly audit: Audit;
  readonly now: () => number;
}

/** Hashing is bounded for the whole process, not for each tenant. */
export interface SharedHashing {
  readonly hasher: PasswordHasher;
  readonly slots: Core["slots"];
}

/** @throws TypeError naming the option. */
export function createHashing({ slots = 4, queue, hasher }: HashingOptions = {}): SharedHashing {
  within("hashing.slots", slots, 1, 4);
  if (hasher !== undefined && typeof (hasher as Partial<PasswordHasher>).verify !== "function") {
    throw new TypeError("hashing.hasher: an object with hash, verify, needsRehash and supports");
  }
  if (queue !== undefined) within("hashing.queue", queue, 0, 100_000);
  return {
    hasher: hasher ?? createPasswordHasher(),
    slots: createHashingSlots({ slots, ...(queue === undefined ? {} : { queue }) }),
  };
}

/** The issuer's name. @throws TypeError for an empty or long one, or one with a colon (TO-08). */
export function readIssuer(issuer: unknown): string {
  const fits = typeof issuer === "string" && /^[^:\p{C}]{1,60}$/u.test(issuer);
  if (!fits) throw new TypeError("issuer: 1 to 60 characters, no colon, no control characters");
  return issuer;
}

/** A core for one tenant or one host. What is about accounts is put in by whoever has them. */
export function createCore(parts: CoreParts): Core {
  const { tenant, issuer, tokenIssuer, keyring, policy, hashing, now } = parts;
  return {
    ...{ tenant, issuer, keyring, policy, now },
    ...hashing,
    records: parts.records,
    directory: parts.directory,
    throttle: parts.throttle,
    audit: parts.audit,
    sealer: createSealer(keyring),
    tokens: createTokens(keyring, { issuer: tokenIssuer, tenant, now }),
    passwords: createPasswordPolicy({ breached: policy.breached }),
    barred: ({ state }: FactorRecord) => (state === "disabled" ? "disabled" : undefined),
    isNamed: () => false,
    describe: (id) => ({ id, tenant }),
    notify: () => undefined,
  };
}
