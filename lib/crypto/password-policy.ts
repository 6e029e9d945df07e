import { AuthError } from "../errors.ts";
import { pwnedPasswords, type BreachCheck } from "./breached-passwords.ts";
import { isCommonPassword } from "./common-passwords.ts";

/** What a new password must be. */
export interface PasswordPolicyOptions {
  /**
   * Code points, at least 8, that take the place of the minimum a caller asks for. NIST SP 800-63B-4 wants 15 where a
   * password alone can open an account and 8 where a second factor is enforced, which is what callers ask for.
   */
  readonly minLength?: number;
  /**
   * UTF-8 bytes, at least 256 so that 64 code points of any script fit.
   * @default 1024
   */
  readonly maxBytes?: number;
  /**
   * Looks the password up among breached ones; `false` looks nowhere.
   * @default pwnedPasswords()
   */
  readonly breached?: BreachCheck | false;
  /** Whether a password is among the common ones. @default the list that comes with this package */
  readonly common?: (password: string) => Promise<boolean>;
}

/** What a password is held against. */
export interface PasswordPolicyContext {
  /** Code points: 15 if the password may be the only factor, 8 if a second one is enforced (PW-01). */
  readonly minLength: number;
  /** The service's name, the user's name and address: none of them, nor an address's local part, is a password. */
  readonly context: readonly string[];
}

/** Judges new passwords; a login never asks it. */
export interface PasswordPolicy {
  /**
   * Resolves if the password may be set. There are no composition rules (PW-03).
   * @throws {AuthError} `password_too_long`, `password_too_short`, `password_common` or `password_breached`.
   */
  check(password: string, context: PasswordPolicyContext): Promise<void>;
}

/**
 * Rules for new passwords: length, common passwords, words of the context, breaches (PW-01 to PW-07).
 * @throws {TypeError} when `minLength` or `maxBytes` is out of bounds.
 */
export function createPasswordPolicy({
  minLength: override,
  maxBytes = 1024,
  breached = pwnedPasswords(),
  common = isCommonPassword,
}: PasswordPolicyOptions = {}): PasswordPolicy {
  if (override !== undefined && (!Number.isInteger(override) || override < 8 || override > 64)) {
    throw new TypeError("password policy: minLength must be between 8 and 64 code points");
  }
  if (!Number.isInteger(maxBytes) || maxBytes < 256) {
    throw new TypeError("password policy: maxBytes below 256 refuses passwords of 64 code points");
  }

  return {
    async check(password, { minLength, context }) {
      if (Buffer.byteLength(password) > maxBytes) throw new AuthError("password_too_long");

      const normal = password.normalize("NFC"); // as it is hashed
      if (Array.from(normal).length < (override ?? minLength)) {
        throw new AuthError("password_too_short");
      }
      if (isContextWord(normal, context)) {
        throw new AuthError("password_common", { reason: "password_is_context_word" });
      }
      if (await common(normal)) throw new AuthError("password_common");
      if (breached !== false && (await breached(normal))) throw new AuthError("password_breached");
    },
  };
}

function isContextWord(password: string, context: readonly string[]): boolean {
  const folded = password.toLowerCase();
  return context.some((word) => {
    const whole = word.normalize("NFC").toLowerCase();
    return folded === whole || folded === whole.replace(/@[^@]*$/, ""); // whole address, local part
  });
}
