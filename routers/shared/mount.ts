import { Router, type ErrorRequestHandler, type Request, type Response } from "express";
import type { Calls } from "../../lib/calls.ts";
import type { AccountActing } from "../../lib/core.ts";
import { withDeadline } from "../../lib/deadline.ts";
import { AuthError } from "../../lib/errors.ts";
import { asRefusal, headersOf } from "../../lib/middleware/problem.ts";
import { contextOf, readBearer } from "../../lib/middleware/request.ts";
import { InputError, parseBy, readBody, renamed } from "./input.ts";
import { openApiOf, type ApiInfo } from "./openapi.ts";
import type { Reply, Route } from "./route.ts";

/** How a family says what the core answers. */
export interface Wire {
  /** Headers on every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** A route's value in the family's envelope. */
  succeed(reply: Reply): { readonly status: number; readonly body: unknown };
  /** A refusal in the family's error body. */
  refuse(
    refusal: AuthError,
    route: Route | undefined,
  ): { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> };
}

/** A family: its table, its wire, its document. */
export interface Family {
  readonly routes: readonly Route[];
  readonly wire: Wire;
  readonly calls: Calls;
  readonly info: ApiInfo;
  /** Told of faults of ours, which the answer does not show. */
  readonly onFault: (fault: unknown) => void;
}

/** Milliseconds that a request may take once its body is read (FT-02). */
const DEADLINE = 5000;

/**
 * A router that answers the paths of its table and nothing else: parser, headers, bearer check, 405 and
 * errors belong to a path, everything else goes on to what is mounted beside it.
 */
export function mountFamily(family: Family): Router {
  const router: Router = Router({ caseSensitive: true, strict: true });
  const document = openApiOf(family.routes, family.info);
  router.get(family.info.servedAt, (_req, res) => {
    send(res, family.wire.headers, 200, document);
  });
  for (const path of new Set(family.routes.map((row) => row.path))) {
    const rows = family.routes.filter((row) => row.path === path);
    const place = router.route(path);
    for (const row of rows) {
      place[row.method]((req, res) => {
        void answer(family, row, req, res);
      });
    }
    const allow = rows.map(({ method }) => method.toUpperCase());
    const all = allow.includes("GET") ? [...allow, "HEAD"] : allow;
    place.all((_req, res) => {
      res.set("Allow", all.join(", "));
      refuse(
        family,
        undefined,
        res,
        new InputError(405, { issue: "method", words: "Method not allowed" }),
      );
    });
  }
  // Only a path of ours that cannot be decoded comes here; no handler of the host's shall log it (EX-04).
  router.use(((error, _req, res, next) => {
    if (res.headersSent) {
      next(error);
      return;
    }
    const words = "The path is not valid";
    refuse(family, undefined, res, new InputError(400, { issue: "path", words }));
  }) satisfies ErrorRequestHandler);
  return router;
}

async function answer(family: Family, row: Route, req: Request, res: Response): Promise<void> {
  try {
    const acting = await actingFor(family.calls, row, req);
    const input = await readInput(row, req, res);
    const reply = await withDeadline(row.run(input, acting), DEADLINE, "request");
    const { status, body } = family.wire.succeed(reply);
    send(res, { ...family.wire.headers, ...(status === 401 ? CHALLENGE : {}) }, status, body);
  } catch (error) {
    if (!(error instanceof AuthError)) tell(family, error);
    if (error instanceof InputError) family.calls.noteRefusal(error.reason, contextOf(req));
    refuse(family, row, res, error);
  }
}

/** A host's own handler that fails must not keep the answer back (EX-05). */
function tell({ onFault }: Family, fault: unknown): void {
  try {
    onFault(fault);
  } catch {
    process.emitWarning("polyfactor: onFault itself failed");
  }
}

const CHALLENGE = headersOf(new AuthError("unauthenticated"));

/** The bearer before the body: who has none is told nothing about what would have been valid. */
async function actingFor(
  calls: Calls,
  { access }: Route,
  req: Request,
): Promise<AccountActing | undefined> {
  if (access === "public") return undefined;
  const token = readBearer(req);
  if (token === undefined) throw new AuthError("unauthenticated");
  if (access === "bearer") return undefined;
  return withDeadline(
    calls.authenticate(token, { level: access }, contextOf(req)),
    DEADLINE,
    "request",
  );
}

async function readInput(
  { body: schema, params, aliases = {}, bodyOptional = false }: Route,
  req: Request,
  res: Response,
): Promise<Parameters<Route["run"]>[0]> {
  const parsedParams = params === undefined ? undefined : parseBy(params, { ...req.params });
  const context = contextOf(req);
  if (schema === undefined) return { body: undefined, params: parsedParams, req, context };

  const sent = await readBody(req, res);
  const body = sent === undefined && bodyOptional ? {} : renamed(sent, aliases);
  if (body === undefined)
    throw new InputError(400, { issue: "missing", words: "A body is required" });
  return { body: parseBy(schema, body), params: parsedParams, req, context };
}

function refuse(family: Family, row: Route | undefined, res: Response, error: unknown): void {
  const refusal = asRefusal(error);
  const { status, body, headers = {} } = family.wire.refuse(refusal, row);
  send(res, { ...family.wire.headers, ...headersOf(refusal), ...headers }, status, body);
}

function send(
  res: Response,
  headers: Readonly<Record<string, string>>,
  status: number,
  body: unknown,
): void {
  // The client may have gone, or the deadline may have answered already (EX-11).
  if (res.headersSent || res.writableEnded) return;
  res.removeHeader("X-Powered-By");
  res.status(status).set({ ...headers, "Cache-Control": "no-store" });
  if (body === undefined) res.end();
  else res.json(body);
}
