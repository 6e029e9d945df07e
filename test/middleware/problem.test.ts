import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { AuthError, RateLimited, StepUpRequired, type Code } from "../../lib/index.ts";
import { ProblemError, problemOf } from "../../lib/middleware/index.ts";

/** What each refusal is over HTTP. */
const statuses: Readonly<Partial<Record<Code, number>>> = {
  invalid_input: 400,
  unauthenticated: 401,
  invalid_token: 401,
  invalid_credentials: 401,
  wrong_password: 401,
  invalid_code: 401,
  invalid_ticket: 401,
  invalid_mailed_token: 400,
  too_many_attempts: 429,
  rate_limited: 429,
  name_taken: 409,
  password_too_short: 422,
  password_too_long: 422,
  password_common: 422,
  password_breached: 422,
  step_up_required: 401,
  enrolment_required: 403,
  forbidden: 403,
  cross_site: 403,
  not_found: 404,
  not_enrolled: 409,
  nothing_pending: 409,
  last_factor: 409,
  conflict: 409,
  not_offered: 404,
  account_disabled: 401,
  unavailable: 503,
};
const codes = Object.keys(statuses) as Code[];

/** RFC 9457 §3.1, and what we add. */
const schema = {
  type: "object",
  required: ["type", "title", "status", "code"],
  properties: {
    type: { type: "string", format: "uri" },
    title: { type: "string", minLength: 1 },
    status: { type: "integer", minimum: 400, maximum: 599 },
    detail: { type: "string" },
    instance: { type: "string", format: "uri-reference" },
    code: { enum: codes },
    "violated-policies": { type: "array", items: { type: "string" }, minItems: 1 },
  },
  additionalProperties: false,
};

test("EX-09: every refusal is a problem by RFC 9457, with the status it is sent with", () => {
  const ajv = formats.default(new Ajv2020({ strict: false }));
  const isProblem = ajv.compile(schema);

  const problems = codes.map((code) => problemOf(new AuthError(code, { retryAfter: 3 })));

  assert.deepEqual(
    problems.filter(({ body }) => !isProblem(body)),
    [],
  );
  assert.deepEqual(
    Object.fromEntries(problems.map(({ status, body }) => [body.code, status])),
    statuses,
  );
  assert.deepEqual(
    problems.filter(({ status, body }) => status !== body.status),
    [],
  );
  assert.deepEqual(
    new Set(problems.map(({ headers }) => headers["Content-Type"])),
    new Set(["application/problem+json"]),
  );
  assert.equal(new Set(problems.map(({ body }) => body.type)).size, codes.length);
});

test("appendix 5: every 401 has a challenge and no other status has one; none opens a browser's dialog", () => {
  const problems = codes.map((code) => problemOf(new AuthError(code)));

  const challenged = problems.filter(({ headers }) => headers["WWW-Authenticate"] !== undefined);

  assert.deepEqual(
    challenged,
    problems.filter(({ status }) => status === 401),
  );
  assert.deepEqual(
    challenged.filter(({ headers }) => !headers["WWW-Authenticate"]?.startsWith("Bearer realm=")),
    [],
  );
});

test("SE-11: no refusal may be stored by a cache", () => {
  const stored = codes.filter(
    (code) => problemOf(new AuthError(code)).headers["Cache-Control"] !== "no-store",
  );

  assert.deepEqual(stored, []);
});

test("RFC 9470: the challenge says which class is wanted, and how old it may be", () => {
  const challenges = [new StepUpRequired("aal2"), new StepUpRequired("aal2", 300)].map(
    (refusal) => problemOf(refusal).headers["WWW-Authenticate"],
  );

  const start = 'Bearer realm="polyfactor", error="insufficient_user_authentication"';
  assert.deepEqual(challenges, [
    `${start}, acr_values="aal2"`,
    `${start}, acr_values="aal2", max_age="300"`,
  ]);
});

/** A list of strings with parameters that are integers, as RFC 9651 writes it. */
function readList(text: string): readonly (readonly [string, Readonly<Record<string, number>>])[] {
  return text.split(", ").map((item) => {
    const [, name, rest = ""] = /^"([\x20\x21\x23-\x5b\x5d-\x7e]*)"((?:;.*)?)$/.exec(item) ?? [];
    assert.ok(name !== undefined, `${item} is a string with parameters`);
    const parameters = rest
      .split(";")
      .slice(1)
      .map((parameter) => {
        const [, key = "", value] = /^([a-z*][a-z0-9_.*-]*)=(-?\d{1,15})$/.exec(parameter) ?? [];
        assert.ok(value !== undefined, `${parameter} is a key and an integer`);
        return [key, Number(value)] as const;
      });
    return [name, Object.fromEntries(parameters)] as const;
  });
}

test("TH-09: over budget says when to come back, in fields that parse, and names no account", () => {
  const { headers, body } = problemOf(new AuthError("too_many_attempts", { retryAfter: 4 }));

  assert.equal(headers["Retry-After"], "4");
  assert.deepEqual(readList(headers["RateLimit-Policy"] ?? ""), [["attempts", { q: 5 }]]);
  assert.deepEqual(readList(headers.RateLimit ?? ""), [["attempts", { r: 0, t: 4 }]]);
  assert.deepEqual(body["violated-policies"], ["attempts"]);
});

test("TH-08: the limit of an address is the one that was set", () => {
  const allowance = { allowed: false, limit: 20, remaining: 0, resetAt: 90_000 };

  const { status, headers, body } = problemOf(new RateLimited(allowance, 30_000));

  assert.equal(status, 429);
  assert.equal(headers["Retry-After"], "60");
  assert.deepEqual(readList(headers["RateLimit-Policy"] ?? ""), [["address", { q: 20 }]]);
  assert.deepEqual(readList(headers.RateLimit ?? ""), [["address", { r: 0, t: 60 }]]);
  assert.deepEqual(body["violated-policies"], ["address"]);
});

test("an error that is not a refusal of ours says nothing of itself", () => {
  const { status, headers, body } = problemOf(new Error("mongodb://user:secret@db.internal"));

  assert.deepEqual([status, headers["Retry-After"]], [503, "1"]);
  assert.equal(JSON.stringify([headers, body]).includes("secret"), false);
});

test("an error for Express is the problem it was made of, without a content type", () => {
  const refusal = new AuthError("too_many_attempts", { retryAfter: 4, reason: "private" });

  const error = new ProblemError(refusal);

  const { headers } = problemOf(refusal);
  assert.deepEqual(
    [error.status, error.code, error.message],
    [429, "too_many_attempts", "Too many attempts"],
  );
  assert.deepEqual({ ...error.headers, "Content-Type": "application/problem+json" }, headers);
  assert.equal("Content-Type" in error.headers, false);
  assert.deepEqual(problemOf(error), problemOf(refusal));
});
