import express, { type Request, type RequestHandler, type Response } from "express";
import type { z } from "zod";
import { AuthError } from "../../lib/errors.ts";

/** A request that does not have the form its route wants, and where. */
export class InputError extends AuthError {
  /** 400 malformed or invalid, 405, 413 too large, 415 another type. */
  readonly status: number;
  readonly issue: string;
  /** For people; holds nothing of what was sent. */
  readonly words: string;
  readonly path: readonly (string | number)[];

  constructor(
    status: number,
    {
      issue,
      words,
      path = [],
    }: { issue: string; words: string; path?: readonly (string | number)[] },
  ) {
    super("invalid_input", { reason: issue, field: path.join(".") });
    this.status = status;
    this.issue = issue;
    this.words = words;
    this.path = path;
  }
}

/** Levels of nesting a body may have: deeper ones overflow whatever walks them later (EX-03). */
const DEPTH = 32;
/** Bytes. */
const LIMIT = 16 * 1024;

const parseJson: RequestHandler = express.json({ limit: LIMIT, strict: true, type: () => true });

/**
 * The JSON body of a request, parsed by us or by the host before us (EX-01, EX-02); undefined where there
 * is none.
 *
 * @throws InputError
 */
export async function readBody(req: Request, res: Response): Promise<unknown> {
  if (!hasBody(req)) return undefined;
  refuseOtherTypes(req.headers["content-type"] ?? "");
  const parsedByHost = req.body !== undefined && (req as { _body?: boolean })._body === true;
  const body: unknown = parsedByHost ? req.body : await parse(req, res);
  if (isTooDeep(body)) {
    throw new InputError(400, { issue: "too_deep", words: "The body is nested too deeply" });
  }
  return body;
}

function hasBody(req: Request): boolean {
  const length = req.headers["content-length"];
  return req.headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

function refuseOtherTypes(contentType: string): void {
  const [type = "", ...parameters] = contentType
    .split(";")
    .map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="));
  const isUtf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset);
  if (type === "application/json" && isUtf8) return;
  throw new InputError(415, {
    issue: "media_type",
    words: "The body must be application/json in UTF-8",
  });
}

function parse(req: Request, res: Response): Promise<unknown> {
  return new Promise((resolve, reject) => {
    parseJson(req, res, (error?: unknown) => {
      // body-parser attaches the raw body to its errors, password included: none of it goes on (EX-04).
      if (error === undefined) resolve(req.body as unknown);
      else reject(refusalOf((error as { status?: unknown }).status));
    });
  });
}

function refusalOf(status: unknown): InputError {
  if (status === 413)
    return new InputError(413, { issue: "too_large", words: "The body is too large" });
  if (status === 415) {
    return new InputError(415, {
      issue: "encoding",
      words: "The body's encoding is not supported",
    });
  }
  return new InputError(400, { issue: "json_invalid", words: "The body is not valid JSON" });
}

function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEPTH) return true;
    level = level.flatMap((item) =>
      typeof item === "object" && item !== null
        ? Object.values(item as Record<string, unknown>)
        : [],
    );
  }
  return false;
}

/** A value by its schema: exact types, nothing coerced, unknown keys gone. @throws InputError */
export function parseBy(schema: z.ZodType, value: unknown): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = (issue?.path ?? []).filter((part) => typeof part !== "symbol");
  const missing = issue?.code === "invalid_type" && valueAt(value, path) === undefined;
  throw new InputError(400, {
    issue: missing ? "missing" : (issue?.code ?? "invalid"),
    words: issue?.message ?? "The request is not valid",
    path,
  });
}

function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let inner = value;
  for (const part of path) {
    if (typeof inner !== "object" || inner === null || !Object.hasOwn(inner, part))
      return undefined;
    inner = (inner as Record<string | number, unknown>)[part];
  }
  return inner;
}

/** Older field names under their documented ones, where those are absent. */
export function renamed(body: unknown, aliases: Readonly<Record<string, string>>): unknown {
  if (typeof body !== "object" || body === null || Array.isArray(body)) return body;
  const values = new Map(Object.entries(body));
  for (const [older, documented] of Object.entries(aliases)) {
    if (values.has(older) && !values.has(documented)) values.set(documented, values.get(older));
  }
  return Object.fromEntries(values);
}
