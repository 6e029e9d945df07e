import type { Request } from "express";
import type { Method } from "../lib/account.ts";
import type { Auth } from "../lib/auth.ts";
import type { Factors } from "../lib/calls.ts";
import type { Progress } from "../lib/core.ts";
import type { Handle } from "../lib/crypto/ticket.ts";
import { AuthError } from "../lib/errors.ts";
import type { SecondProof } from "../lib/flows/code-attempt.ts";
import { actingIn, keptIn } from "../lib/middleware/host-session.ts";
import {
  FactorStrategy,
  textField,
  type AttemptContext,
  type StrategyOptions,
  type SubjectUser,
} from "./strategy.ts";

/** Where a strategy finds a code and, without a session, the ticket. */
export interface CodeStrategyOptions<User = SubjectUser> extends StrategyOptions<User> {
  /** @default "code" */
  readonly codeField?: string;
  /** @default "ticket" */
  readonly ticketField?: string;
}

/** A code that a caller has parsed itself. */
export interface CodeAttempt extends AttemptContext {
  readonly ticket: string;
  readonly proof: SecondProof;
  /** The factors a code of unnamed kind may be held against. @default this strategy's */
  readonly methods?: readonly Method[];
}

/** What strategies for typed codes share: they differ only in the factor. */
export abstract class CodeStrategy<User> extends FactorStrategy<User> {
  readonly method: Method;
  private readonly fields: { readonly code: string; readonly ticket: string };

  protected constructor(
    source: Auth | Factors,
    { name, method }: { readonly name: string; readonly method: Method },
    options: CodeStrategyOptions<User>,
  ) {
    super(source, name, options);
    this.method = method;
    const { codeField = "code", ticketField = "ticket" } = options;
    this.fields = { code: codeField, ticket: ticketField };
  }

  /**
   * Finish a pending login, or raise the session that the host's session names. Whose it is comes from
   * the ticket or that session, never from the body (MC-03).
   *
   * @throws AuthError `invalid_input`, `unauthenticated`, `invalid_ticket`, `invalid_code`, `too_many_attempts`,
   * `rate_limited`, `unavailable`.
   */
  override async attempt(req: Request, given?: CodeAttempt | AttemptContext): Promise<Progress> {
    const context = this.contextOf(req, given ?? {});
    if (given !== undefined && "ticket" in given) {
      const { ticket, proof, methods = [this.method] } = given;
      return this.factors.submit(ticket, { choice: { methods }, proof }, context);
    }

    const code = textField(req, this.fields.code);
    if (!code) throw new AuthError("invalid_input", { reason: "missing", field: "code" });
    const submission = { choice: { methods: [this.method] }, proof: { code } };
    const ticket = this.pendingOf(req);
    if (ticket !== undefined) return this.factors.submit(ticket, submission, context);

    const acting = await actingIn(req, this.factors);
    if (acting === undefined) throw new AuthError("unauthenticated", { reason: "nothing_pending" });
    return this.factors.stepUp(acting, submission, context);
  }

  private pendingOf(req: Request): string | Handle | undefined {
    const kept = keptIn(req);
    if (kept !== undefined && "pending" in kept)
      return { subject: kept.subject, entry: kept.pending };
    return textField(req, this.fields.ticket);
  }
}
