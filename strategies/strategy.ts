import type { Request } from "express";
import Custom from "passport-custom";
import type { Factors } from "../lib/calls.ts";
import type { Auth } from "../lib/auth.ts";
import type { Context } from "../lib/context.ts";
import type { Progress } from "../lib/core.ts";
import { withDeadline } from "../lib/deadline.ts";
import type { Code } from "../lib/errors.ts";
import {
  carryOver,
  hasHostSession,
  keep,
  keptIn,
  keptOf,
  renew,
} from "../lib/middleware/host-session.ts";
import { asRefusal, problemOf, ProblemError } from "../lib/middleware/problem.ts";
import { contextOf } from "../lib/middleware/request.ts";
import { factorsOf } from "../lib/middleware/require-session.ts";

/** What every strategy of ours takes. */
export interface StrategyOptions<User> {
  /** Whose accounts these are; needed with `createAuth`. */
  readonly tenant?: string;
  /** The name Passport knows it by. @default the factor's */
  readonly name?: string;
  /**
   * Where a browser goes when the password was right and a code is missing; without a session of the
   * host's the ticket is in the failure's info instead. @default none: `fail`
   */
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

type Pending = Extract<Progress, { status: "pending" }>;
type Complete = Extract<Progress, { status: "complete" }>;

/** Tells Passport how an attempt went. */
type Tell = (actions: Actions) => void;

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

  /** Passport's way in. With `session: false` nothing is kept in the host's session. */
  authenticate(req: Request, { session = true }: { readonly session?: boolean } = {}): void {
    // Taken before the first await and kept off `this`: one instance serves overlapping requests.
    const actions = actionsOf(this as unknown as Actions);
    // The outcome is told after the race with the deadline, so that one that comes late is never told.
    withDeadline(this.settle(req, session && hasHostSession(req)), DEADLINE, "strategy")
      .then((tell) => {
        tell(actions);
      })
      .catch((error: unknown) => {
        report(actions, error);
      })
      .catch((error: unknown) => {
        // A host's callback threw when it was told of an error; Express can still answer.
        req.next?.(error);
      });
  }

  private async settle(req: Request, kept: boolean): Promise<Tell> {
    const progress = await this.attempt(req);
    if (progress.status === "pending") {
      if (kept) await keep(req, keptOf(progress));
      return this.announce(progress, kept);
    }
    // A host that is told of a raised session need not log anybody in: the new id is up to us (MC-10).
    if (isRaised(req, progress)) await renew(req, keptOf(progress));
    const { user = (id: string) => ({ id }) as User } = this.options;
    const record = await user(progress.accountId, req);
    if (!record) {
      const info: FailureInfo = { message: MESSAGE, code: "invalid_credentials" };
      return ({ fail }) => {
        fail(info, 401);
      };
    }
    return ({ success }) => {
      if (kept) carryOver(req, keptOf(progress));
      success(record, infoOf(progress));
    };
  }

  private announce(progress: Pending, kept: boolean): Tell {
    // Where nothing was kept, the ticket is all there is, and a redirect would lose it.
    const page = kept ? this.options.secondFactor : undefined;
    const message = "A second factor is required";
    const info: FailureInfo = { message, code: "second_factor_required", progress };
    return ({ redirect, fail }) => {
      if (page === undefined) fail(info, 401);
      else redirect(page, 303);
    };
  }

  /** What the request knows about its sender, unless the caller has said it. */
  protected contextOf(req: Request, { context }: AttemptContext): Context {
    return context ?? contextOf(req);
  }
}

const MESSAGE = "The name, the password or the code is wrong";

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
    actions.error(new ProblemError(refusal));
    return;
  }
  // Passport tells the first failure. A strategy whose fields are missing had nothing to judge, so it
  // has no status of its own and the words of the one that did.
  const idle = refusal.code === "invalid_input";
  const message = idle || status === 401 ? MESSAGE : body.title;
  actions.fail({ message, code: refusal.code } satisfies FailureInfo, idle ? undefined : status);
}

/** Whether this was a second factor within the session that the host's session names. */
function isRaised(req: Request, { session }: Complete): boolean {
  const kept = keptIn(req);
  return kept !== undefined && "session" in kept && kept.session === session.id;
}

function infoOf({ session }: Complete): LoginInfo {
  const { id, level, amr, acr, authTime } = session;
  return { sessionId: id, level, amr, acr, auth_time: Math.floor(authTime.getTime() / 1000) };
}

/** A text field of a parsed body; undefined where it is missing or no text. */
export function textField(req: Request, field: string): string | undefined {
  const body: unknown = req.body;
  if (typeof body !== "object" || body === null || !Object.hasOwn(body, field)) return undefined;
  const value = (body as Record<string, unknown>)[field];
  return typeof value === "string" ? value : undefined;
}
