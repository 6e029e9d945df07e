import type { Request } from "express";
import type { z } from "zod";
import type { AccountActing } from "../../lib/core.ts";
import type { Context } from "../../lib/context.ts";
import type { Code } from "../../lib/errors.ts";
import type { Level } from "../../lib/policy.ts";

/** The methods a family may document. */
export type HttpMethod = "get" | "post" | "put" | "patch" | "delete";

/** Who may call a route: anybody, whoever sends a bearer (the route reads it), or a session of this level. */
export type Access = "public" | "bearer" | Level;

/** What a route's `run` is given: everything parsed, nothing raw but the request for strategies. */
export interface RouteInput<Body, Params> {
  readonly body: Body;
  readonly params: Params;
  readonly req: Request;
  readonly context: Context;
}

/** What a refusal looks like in a family; a route may say it in its own words. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** What is documented and declared of a route. */
export interface RouteBase {
  readonly summary: string;
  readonly operationId: string;
  readonly tag: string;
  /** The schema of a 200's `data`, or of the whole body, as the family has it. */
  readonly answer: z.ZodType;
  /** Documented statuses of refusals; others fall under the family's `default`. */
  readonly refusals: readonly number[];
  /** This route's own words for some codes. */
  readonly words?: Readonly<Partial<Record<Code, Refusal>>>;
  /** Older names of body fields, taken where the documented one is absent. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Whether a missing body is as good as an empty one. @default false */
  readonly bodyOptional?: boolean;
}

/** A route of a table, its types settled. */
export interface Route extends RouteBase {
  readonly method: HttpMethod;
  /** `/api/v1/users/sessions/:session_id` */
  readonly path: string;
  readonly access: Access;
  readonly body?: z.ZodType;
  readonly params?: z.ZodType;
  run(input: RouteInput<unknown, unknown>, acting: AccountActing | undefined): Promise<Reply>;
}

/** What a route answers: a value that the family puts in its envelope, or an answer of its own. */
export interface Reply {
  readonly status?: number;
  readonly data?: unknown;
  readonly message?: string;
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
}

type Output<S> = S extends z.ZodType ? z.output<S> : undefined;

interface RouteSpec<
  A extends Access,
  B extends z.ZodType | undefined,
  P extends z.ZodType | undefined,
> extends RouteBase {
  readonly access: A;
  readonly body?: B;
  readonly params?: P;
  readonly run: (
    input: RouteInput<Output<B>, Output<P>> &
      (A extends Level ? { readonly acting: AccountActing } : unknown),
  ) => Promise<Reply> | Reply;
}

/** One row of a table. What it declares gives validation, types and the OpenAPI document. */
export function route<
  A extends Access,
  B extends z.ZodType | undefined = undefined,
  P extends z.ZodType | undefined = undefined,
>(method: HttpMethod, path: string, spec: RouteSpec<A, B, P>): Route {
  const { run, body, params, ...rest } = spec;
  return {
    ...rest,
    method,
    path,
    ...(body === undefined ? {} : { body }),
    ...(params === undefined ? {} : { params }),
    // The mounting code parsed `body` and `params` by these very schemas, and found `acting` for this level.
    run: async (input, acting) => run({ ...input, acting } as Parameters<typeof run>[0]),
  };
}
