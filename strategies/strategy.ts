import type { Request } from "express";
import Custom from "passport-custom";
import type { Factors } from "../lib/calls.ts";
import type { Auth } from "../lib/auth.ts";
import type { Context } from "../lib/context.ts";
import type { Progress } from "../lib/core.ts";
import { withDeadline } from "../lib/deadline.ts";
import type { AuthError, Code } from "../lib/errors.ts";
import { carryOver, keep, keptOf } from "../lib/middleware/host-session.ts";
import { asRefusal, problemOf } from "../lib/middleware/problem.ts";
import { contextOf } from "../lib/middleware/request.ts";
import { factorsOf } from "../lib/middleware/require-session.ts";

/** What every strategy of ours takes. */
export interface StrategyOptions<User> {
  /** Whose accounts these are; needed with `createAuth`. */
  readonly tenant?: string;
  /** The name Passport knows it by. @default the factor's */
  readonly name?: string;
  /** Where a browser goes when the password was right and a code is missing. @default none: `fail` */
  readonly secondFactor?: string;
  /** What becomes `req.user`; null refuses the login. @default `{ id }` */
  readonly user?: (subject: string, req: Request) => User | null | Promise<User | null>;
}

/** `req.user` where no `user` option is given. */
export interface SubjectUser {
  readonly id: string;
}

/** What Passport is told of a login that did not succeed, or not yet. */
export interface FailureInfo {
  /** The same for all wrong proofs. */
  readonly message: string;
  readonly code: Code | "second_factor_required";
  /** Where the password was right and a code is missing. */
  readonly progress?: Progress;
}

/** What stands in `req.authInfo` after a login. */
export interface LoginInfo {
  readonly sessionId: string;
  readonly level: "enrol" | "aal1" | "aal2";
  /** RFC 8176. */
  readonly amr: readonly string[];
  readonly acr: string;
  /** Seconds since 1970. */
  readonly auth_time: number;
}

/** What a caller of `attempt` may say for itself; a router has parsed it already. */
export interface AttemptContext {
  /** @default what the request says */
  readonly context?: Context;
}

/** The actions that Passport puts on a strategy just before it calls `authenticate`. */
interface Actions {
  readonly success: (user: unknown, info?: object) => void;
  readonly fail: (info: object, status?: number) => void;
  readonly redirect: (url: string, status?: number) => void;
  readonly error: (error: unknown) => void;
}

/** passport-custom types `name` as one literal and keeps `done` without a status, so it is cast once, here. */
const PassportStrategy = Custom as unknown as new (verify: () => void) => { name: string };

/** Milliseconds after which a login that does not settle is answered as an error (EX-05). */
const DEADLINE = 15_000;

/**
 * A thin Passport shell over the core. `success` only where the login is complete: Passport logs the
 * user in on success.
 */
export abstract class FactorStrategy<User> extends PassportStrategy {
  /** The core this strategy asks. */
  readonly factors: Factors;
  private readonly options: StrategyOptions<User>;

  protected constructor(source: Auth | Factors, name: string, options: StrategyOptions<User>) {
    super(() => undefined);
    this.factors = factorsOf(source, options.tenant);
    this.name = options.name ?? name;
    this.options = options;
  }

  /** The typed way in: how far the login has come. @throws AuthError */
  abstract attempt(req: Request, options?: AttemptContext): Promise<Progress>;

  /** Passport's way in. */
  authenticate(req: Request): void {
    // Taken before the first await and kept off `this`: one instance serves overlapping requests.
    const actions = actionsOf(this as unknown as Actions);
    withDeadline(this.settle(req, actions), DEADLINE, "strategy").catch((error: unknown) => {
      report(actions, error);
    });
  }

  private async settle(req: Request, actions: Actions): Promise<void> {
    const progress = await this.attempt(req);
    if (progress.status === "pending") {
      await this.announce(req, progress, actions);
      return;
    }
    const { user = (id: string) => ({ id }) as User } = this.options;
    const record = await user(progress.accountId, req);
    if (record === null) {
      actions.fail({ message: MESSAGE, code: "invalid_credentials" } satisfies FailureInfo, 401);
      return;
    }
    if (hasSession(req)) carryOver(req, keptOf(progress));
    actions.success(record, infoOf(progress));
  }

  private async announce(
    req: Request,
    progress: Extract<Progress, { status: "pending" }>,
    actions: Actions,
  ): Promise<void> {
    if (hasSession(req)) await keep(req, keptOf(progress));
    if (this.options.secondFactor !== undefined) {
      actions.redirect(this.options.secondFactor);
      return;
    }
    const message = "A second factor is required";
    actions.fail({ message, code: "second_factor_required", progress } satisfies FailureInfo, 401);
  }

  protected contextOf(req: Request, { context }: AttemptContext): Context {
    return context ?? contextOf(req);
  }
}

const MESSAGE = "The name, the password or the code is wrong";

/** Why a strategy reports an error to Passport: nothing about the proof, but no room or no store. */
export class StrategyError extends Error {
  override readonly name = "StrategyError";
  readonly code: Code;
  readonly status: number;
  /** For an error handler: `Retry-After` and the like. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(refusal: AuthError) {
    const { status, headers, body } = problemOf(refusal);
    super(body.title, { cause: refusal });
    this.code = refusal.code;
    this.status = status;
    this.headers = headers;
  }
}

function actionsOf(strategy: Actions): Actions {
  const { success, fail, redirect, error } = strategy;
  return {
    success: success.bind(strategy),
    fail: fail.bind(strategy),
    redirect: redirect.bind(strategy),
    error: error.bind(strategy),
  };
}

function report(actions: Actions, error: unknown): void {
  const refusal = asRefusal(error);
  const { status, body } = problemOf(refusal);
  if (status === 429 || status >= 500) {
    actions.error(new StrategyError(refusal));
    return;
  }
  const wrong = status === 401;
  const info: FailureInfo = { message: wrong ? MESSAGE : body.title, code: refusal.code };
  actions.fail(info, status);
}

function infoOf({ session }: Extract<Progress, { status: "complete" }>): LoginInfo {
  const { id, level, amr, acr, authTime } = session;
  return { sessionId: id, level, amr, acr, auth_time: Math.floor(authTime.getTime() / 1000) };
}

function hasSession(req: Request): boolean {
  const { session } = req as Request & { session?: { regenerate?: unknown } };
  return typeof session?.regenerate === "function";
}

/** A text field of a parsed body; undefined where it is missing or no text. */
export function textField(req: Request, field: string): string | undefined {
  const body: unknown = req.body;
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, field)) return undefined;
  const value = (body as Record<string, unknown>)[field];
  return typeof value === "string" ? value : undefined;
}
