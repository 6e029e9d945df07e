import type { Auth } from "../lib/auth.ts";
import type { Factors } from "../lib/calls.ts";
import { CodeStrategy, type CodeStrategyOptions } from "./code-strategy.ts";
import type { SubjectUser } from "./strategy.ts";

/** Backup codes, registered as `backup-code`. @throws TypeError for a missing tenant. */
export class BackupCodeStrategy<User = SubjectUser> extends CodeStrategy<User> {
  constructor(source: Auth | Factors, options: CodeStrategyOptions<User> = {}) {
    super(source, { name: "backup-code", method: "backup_code" }, options);
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
