import type { Request } from "express";
import type { Auth } from "../lib/auth.ts";
import type { Factors } from "../lib/calls.ts";
import type { Progress } from "../lib/core.ts";
import { AuthError } from "../lib/errors.ts";
import {
  FactorStrategy,
  textField,
  type AttemptContext,
  type StrategyOptions,
  type SubjectUser,
} from "./strategy.ts";

/** Where the strategy finds name and password. */
export interface PasswordStrategyOptions<User = SubjectUser> extends StrategyOptions<User> {
  /** @default "username" */
  readonly nameField?: string;
  /** @default "password" */
  readonly passwordField?: string;
}

/** Name and password that a caller has parsed itself. */
export interface PasswordAttempt extends AttemptContext {
  readonly name: string;
  readonly password: string;
}

/**
 * The first factor by name and password, registered as `password`.
 *
 * Right password and no second factor: success. Right password and a second factor: the login is
 * pending, and `secondFactor` says where to go. @throws TypeError for a missing tenant, or factors made without `find`.
 */
export class PasswordStrategy<User = SubjectUser> extends FactorStrategy<User> {
  private readonly fields: { readonly name: string; readonly password: string };

  constructor(source: Auth | Factors, options: PasswordStrategyOptions<User> = {}) {
    super(source, "password", options);
    if (!this.factors.hasNames) throw new TypeError("find: createFactors needs it for passwords");
    const { nameField = "username", passwordField = "password" } = options;
    this.fields = { name: nameField, password: passwordField };
  }

  /** @throws AuthError `invalid_input`, `invalid_credentials`, `too_many_attempts`, `rate_limited`, `unavailable`. */
  override attempt(req: Request, given?: PasswordAttempt | AttemptContext): Promise<Progress> {
    const context = this.contextOf(req, given ?? {});
    const { name, password } =
      given !== undefined && "password" in given
        ? given
        : {
            name: textField(req, this.fields.name),
            password: textField(req, this.fields.password),
          };
    if (!name || !password) {
      return Promise.reject(
        new AuthError("invalid_input", { reason: "missing", field: "password" }),
      );
    }
    return this.factors.login(name, { password }, context);
  }
}

export type {
  AttemptContext,
  FailureInfo,
  LoginInfo,
  StrategyOptions,
  SubjectUser,
} from "./strategy.ts";
