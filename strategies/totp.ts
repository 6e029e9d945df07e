import type { Auth } from "../lib/auth.ts";
import type { Factors } from "../lib/calls.ts";
import { CodeStrategy, type CodeStrategyOptions } from "./code-strategy.ts";
import type { SubjectUser } from "./strategy.ts";

/** Codes of an authenticator app (RFC 6238), registered as `totp`. @throws TypeError for a missing tenant. */
export class TotpStrategy<User = SubjectUser> extends CodeStrategy<User> {
  constructor(source: Auth | Factors, options: CodeStrategyOptions<User> = {}) {
    super(source, { name: "totp", method: "totp" }, options);
  }
}

export { type CodeAttempt, type CodeStrategyOptions } from "./code-strategy.ts";
export type {
  AttemptContext,
  FailureInfo,
  LoginInfo,
  StrategyOptions,
  SubjectUser,
} from "./strategy.ts";
