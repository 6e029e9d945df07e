import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { ErrorRequestHandler } from "express";
import { alice, openFamily } from "../../support/auth-framework.ts";
import { requestText, sendRaw } from "../../support/listening.ts";
import { hosts, SENTINEL, unharmed, watch } from "../../support/watched.ts";

const credentials = JSON.stringify({ username: "alice", password: SENTINEL });

for (const { what, headers, body, status } of [
  { what: "no content type", headers: [], body: credentials, status: 415 },
  { what: "text/plain", headers: ["Content-Type: text/plain"], body: credentials, status: 415 },
  {
    what: "a form",
    headers: ["Content-Type: application/x-www-form-urlencoded"],
    body: `username=alice&password=${SENTINEL}`,
    status: 415,
  },
  {
    what: "a form with operators",
    headers: ["Content-Type: application/x-www-form-urlencoded"],
    body: `username[$ne]=1&password[$ne]=${SENTINEL}`,
    status: 415,
  },
  {
    what: "multipart",
    headers: ["Content-Type: multipart/form-data; boundary=x"],
    body: `--x\r\n\r\n${SENTINEL}\r\n--x--`,
    status: 415,
  },
  {
    what: "problem+json",
    headers: ["Content-Type: application/problem+json"],
    body: credentials,
    status: 415,
  },
  {
    what: "a type like JSON's",
    headers: ["Content-Type: application/jsonx"],
    body: credentials,
    status: 415,
  },
  {
    what: "utf-16",
    headers: ["Content-Type: application/json; charset=utf-16"],
    body: credentials,
    status: 415,
  },
  {
    what: "latin-1",
    headers: ["Content-Type: application/json; charset=iso-8859-1"],
    body: credentials,
    status: 415,
  },
  {
    what: "an unknown encoding",
    headers: ["Content-Type: application/json", "Content-Encoding: foo"],
    body: credentials,
    status: 415,
  },
  {
    what: "cut JSON",
    headers: ["Content-Type: application/json"],
    body: credentials.slice(0, -2),
    status: 400,
  },
  { what: "a bare word", headers: ["Content-Type: application/json"], body: SENTINEL, status: 400 },
  {
    what: "a NUL in JSON",
    headers: ["Content-Type: application/json"],
    body: `${credentials}\u0000`,
    status: 400,
  },
  { what: "blanks alone", headers: ["Content-Type: application/json"], body: "   ", status: 400 },
  { what: "nothing", headers: ["Content-Type: application/json"], body: "", status: 400 },
  {
    what: "17 kB",
    headers: ["Content-Type: application/json"],
    body: JSON.stringify({ username: "alice", password: "x", more: "y".repeat(17_000) }),
    status: 413,
  },
]) {
  for (const mode of ["production", "development"]) {
    test(`EX-01, EX-04: a body with ${what} is ${status} in the family's envelope, and nothing of it is logged (${mode})`, async (t) => {
      const old = process.env.NODE_ENV;
      process.env.NODE_ENV = mode;
      t.after(() => {
        if (old === undefined) delete process.env.NODE_ENV;
        else process.env.NODE_ENV = old;
      });
      const watched = await watch(t);

      const text = requestText("POST", "/api/v1/auth/login", { headers, body });
      const answer = await sendRaw(watched.family.port, text);

      assert.equal(answer.status, status, answer.body);
      assert.match(answer.body, /^\{"success":false,"error":\{"code":"VALIDATION_ERROR"/);
      assert.ok(!answer.body.includes(SENTINEL) && !answer.body.includes("node_modules"));
      await unharmed(watched);
    });
  }
}

test("EX-01: a gzip bomb is refused at once, however small it came", async (t) => {
  const watched = await watch(t);

  const bomb = gzipSync(Buffer.alloc(100_000_000, " "));
  const began = performance.now();

  const answer = await watched.family.post("/auth/login", bomb, {
    headers: { "content-encoding": "gzip" },
  });

  assert.equal(answer.status, 413);
  assert.ok(performance.now() - began < 1000, `${performance.now() - began} ms`);
  await unharmed(watched);
});

test("EX-01: gzip that is none is 400", async (t) => {
  const watched = await watch(t);
  const headers = { "content-encoding": "gzip" };

  const answer = await watched.family.post("/auth/login", credentials, { headers });

  assert.deepEqual([answer.status, answer.error.code], [400, "VALIDATION_ERROR"]);
});

for (const depth of [33, 5_000, 10_000, 200_000]) {
  for (const [open, close] of [
    ["[", "]"],
    ['{"a":', "}"],
  ] as const) {
    for (const [how, host] of Object.entries(hosts)) {
      test(`EX-03: ${how}: ${depth} levels of ${open} are refused with 400 or 413, and the process lives`, async (t) => {
        const watched = await watch(t, host);

        const nested = `${open.repeat(depth)}1${close.repeat(depth)}`;
        const deep = open === "[" ? `{"username":${nested},"password":"x"}` : nested;

        const answer = await watched.family.post("/auth/login", deep);

        assert.ok([400, 413].includes(answer.status), String(answer.status));
        assert.equal(answer.error.code, "VALIDATION_ERROR");
        await unharmed(watched);
      });
    }
  }
}

for (const [how, host] of Object.entries(hosts)) {
  test(`EX-03: ${how}: a login that is good but for 33 levels under a key nobody reads is refused`, async (t) => {
    const { family } = await watch(t, host);
    const { username, password } = alice;
    const logInWith = (levels: number) => {
      const nested: unknown = JSON.parse("[".repeat(levels) + "]".repeat(levels));
      return family.post("/auth/login", { username, password, nested });
    };

    assert.equal((await logInWith(31)).status, 200);
    const refused = await logInWith(33);
    assert.deepEqual([refused.status, refused.error.code], [400, "VALIDATION_ERROR"]);
  });
}

test("EX-04: a path that cannot be decoded is refused in the envelope, and told to no error handler", async (t) => {
  const passedOn: unknown[] = [];
  const family = await openFamily(t, {
    behind(app) {
      app.use(((error, _req, _res, next) => {
        passedOn.push(error);
        next(error);
      }) satisfies ErrorRequestHandler);
    },
  });

  const { status, body } = await sendRaw(
    family.port,
    requestText("DELETE", "/api/v1/users/sessions/%E0%A4%A"),
  );

  assert.deepEqual(passedOn, []);
  assert.equal(status, 400, body);
  assert.match(body, /^\{"success":false/);
});
