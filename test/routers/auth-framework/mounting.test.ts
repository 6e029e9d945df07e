import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import express, { type Request, type Response } from "express";
import { createAuth } from "../../../lib/index.ts";
import { requireSession } from "../../../lib/middleware/index.ts";
import { mongooseStore } from "../../../lib/store/mongoose.ts";
import { openAuth, totpCode } from "../../support/auth.ts";
import {
  alice,
  challengeOf,
  clientOf,
  finishLogin,
  logIn,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
  routerOf,
} from "../../support/auth-framework.ts";
import { listen, requestText, sendRaw } from "../../support/listening.ts";

const express4 = createRequire(import.meta.url)("express4") as typeof express;

/** The headers that the family documents, and no-store; HSTS is the host's. */
const documented = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "x-xss-protection": "1; mode=block",
  "referrer-policy": "strict-origin-when-cross-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=()",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
};

function documentedIn(headers: Headers): object {
  return Object.fromEntries(Object.keys(documented).map((name) => [name, headers.get(name)]));
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

async function operationsOf(origin: string): Promise<readonly (readonly [string, string])[]> {
  const { paths } = (await (await fetch(`${origin}/api/openapi.json`)).json()) as Document;
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map(
      (method) => [method.toUpperCase(), path.replace(/\{\w+\}/, "x")] as const,
    ),
  );
}

test("EX-08, SE-11: every route answers with the documented headers and no-store, in success and in error", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const operations = await operationsOf(family.origin);
  const authorization = `Bearer ${access}`;
  const wrong: string[] = [];

  for (const [method, path] of [...operations, ["GET", "/api/openapi.json"] as const]) {
    for (const headers of [{}, { authorization }, { authorization: "Bearer x" }]) {
      const answer = await fetch(family.origin + path, { method, headers });
      assert.deepEqual(documentedIn(answer.headers), documented, `${method} ${path}`);
      for (const name of ["strict-transport-security", "x-powered-by", "set-cookie"]) {
        if (answer.headers.has(name)) wrong.push(`${method} ${path} ${name}`);
      }
      if (answer.status === 401 && !answer.headers.has("www-authenticate")) {
        wrong.push(`${method} ${path} has no challenge`);
      }
    }
  }

  assert.ok(operations.length >= 24, `${operations.length} operations`);
  assert.deepEqual(wrong, []);
});

test("EX-08: a limit, a step-up, a conflict and a failed dependency have the same headers", async (t) => {
  const family = await openFamily(t, {
    faulty: true,
    auth: { throttle: { limit: 4 }, policy: { secondFactor: "required" } },
    router: {
      authorities({ username }) {
        if (username === "faulty") throw new Error("a fault of the host's");
        return { roles: [], permissions: [] };
      },
    },
  });
  const { access: token, secret } = await registerEnrolled(family);
  const faulty = { ...alice, username: "faulty", email: "f@example.org" };
  await register(family, faulty);
  const totp_code = totpCode(secret, family.clock);

  const answers = [
    await family.post("/auth/login", faulty),
    await family.post("/mfa/disable", { password: alice.password, totp_code }, { token }),
    await family.post("/auth/login", { username: "nobody", password: "x" }),
    await family.post("/auth/login", { username: "nobody", password: "x" }),
  ];
  family.clock.advance(1_000_000);
  answers.push(await family.post("/mfa/setup", undefined, { token }));

  assert.deepEqual(
    answers.map(({ status }) => status),
    [503, 409, 401, 429, 401],
  );
  for (const { headers } of answers) assert.deepEqual(documentedIn(headers), documented);
  assert.equal(answers[0]?.headers.get("retry-after"), "1");
  assert.equal(family.faults.length, 1);
});

test("EX-07: a method that a path does not have is 405 with Allow, TRACE among them", async (t) => {
  const family = await openFamily(t);
  const operations = await operationsOf(family.origin);
  const paths = [...new Set(operations.map(([, path]) => path))];

  for (const path of paths) {
    const has = operations.filter(([, other]) => other === path).map(([method]) => method);
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "OPTIONS"]) {
      if (has.includes(method)) continue;
      const { status, head } = await sendRaw(family.port, requestText(method, path));
      // Not every Node.js knows QUERY.
      if (method === "QUERY" && status === 400) continue;
      assert.equal(status, 405, `${method} ${path}`);
      const [, allow = ""] = /^Allow: (.*)$/im.exec(head) ?? [];
      const expected = has.includes("GET") ? [...has, "HEAD"] : has;
      assert.deepEqual(allow.split(", ").sort(), [...expected].sort(), path);
      assert.match(head, /^Content-Type: application\/json/im);
    }
  }
});

test("EX-07: HEAD of a readable path answers as GET without a body, and of others 405", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);

  const read = await family.call("HEAD", "/mfa/status", { token });
  const act = await family.call("HEAD", "/mfa/setup", { token });

  assert.deepEqual([read.status, read.text, act.status], [200, "", 405]);
  assert.equal((await family.account(await idOf(family, token))).enrolment, undefined);
});

async function idOf(family: Awaited<ReturnType<typeof openFamily>>, token: string) {
  return (await family.get("/auth/validate", { token })).data.id;
}

test("EX-07: X-HTTP-Method-Override changes nothing", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const headers = { "x-http-method-override": "DELETE", "x-method-override": "DELETE" };
  const { list } = await family.get("/users/sessions", { token });
  const [{ id }] = list as [{ id: string }];

  const { status } = await family.call("POST", `/users/sessions/${id}`, { token, headers });

  assert.equal(status, 405);
  assert.equal((await family.get("/auth/validate", { token })).status, 200);
});

test("EX-10: other paths under the same prefix go on to whoever is behind, bodies unread", async (t) => {
  const echo = (req: Request, res: Response) =>
    res.json({ path: req.path, body: String(req.body) });
  const family = await openFamily(t, {
    behind(app) {
      app.use(express.text({ type: "*/*" }));
      app.use(echo);
    },
  });
  const paths = [
    "/api/v1",
    "/api/v1/auth",
    "/api/v1/auth/login/",
    "/api/v1/Auth/Login",
    "/api/v1/auth/loginx",
    "/api/v1/mfa",
    "/api/v1/mfa/totp/enable",
    "/api/v1/me/mfa",
    "/api/v1/oauth/token",
    "/api/v1/users/sessions/a/b",
    "/api/openapi.json/x",
    "/",
  ];

  for (const path of paths) {
    const body = `{"untouched": `;
    const answer = await fetch(family.origin + path, { method: "POST", body });
    assert.deepEqual(await answer.json(), { path, body });
    assert.equal(answer.headers.get("content-security-policy"), null);
  }
});

test("EX-10: under a prefix the family answers there and nowhere else", async (t) => {
  const { auth, clock } = await openAuth(t);
  const app = express();
  app.use("/login/here", routerOf(auth));
  const { origin } = await listen(t, app);
  const client = { ...(await clientOf(`${origin}/login/here`)), clock };

  const { secret } = await registerEnrolled(client);
  const challenge = await challengeOf(client);
  const { status } = await finishLogin(client, { challenge, code: totpCode(secret, clock) });

  assert.equal(status, 200);
  assert.equal((await fetch(`${origin}/api/v1/auth/providers`)).status, 404);
});

test("EX-10: mounted twice with different keys, no token of one is good in the other", async (t) => {
  const first = await openAuth(t);
  const key = { id: "k1", secret: "another key for tests, long enough to be taken for one" };
  const store = mongooseStore(first.connection);
  const second = createAuth({ ...first.options, store, keys: [key] });
  const app = express();
  app.use("/one", routerOf(first.auth));
  app.use("/two", routerOf(second));
  const { origin } = await listen(t, app);
  const [one, two] = [await clientOf(`${origin}/one`), await clientOf(`${origin}/two`)];
  const session = await registerAndLogIn(one);
  const other = await logIn(two);

  const crossed = [
    await two.get("/auth/validate", { token: session.access }),
    await one.get("/auth/validate", { token: other.access }),
    await two.post("/auth/refresh", { refresh_token: session.refresh }),
    await one.post("/auth/refresh", { refresh_token: other.refresh }),
    await two.post("/auth/logout", undefined, { token: session.access }),
  ];

  assert.deepEqual(
    crossed.map(({ status, error }) => `${status} ${error.code}`),
    Array.from({ length: 5 }, () => "401 INVALID_TOKEN"),
  );
  assert.equal((await one.get("/auth/validate", { token: session.access })).status, 200);
});

test("EX-10: the router works inside an Express 4 app, whether or not that parsed the body", async (t) => {
  const { auth, clock } = await openAuth(t);
  const app = express4();
  app.use("/parsed", express4.json({ limit: "1mb" }));
  app.use("/parsed", routerOf(auth));
  app.use(routerOf(auth));
  const { origin } = await listen(t, app);
  const plain = { ...(await clientOf(origin)), clock };
  const parsed = await clientOf(`${origin}/parsed`);

  const { secret } = await registerEnrolled(plain);
  const challenge = await challengeOf(parsed);
  const code = totpCode(secret, clock);

  assert.equal((await finishLogin(parsed, { challenge, code })).status, 200);
  assert.equal((await plain.call("GET", "/auth/login")).status, 405);
  assert.equal((await plain.post("/auth/login", "{")).error.code, "VALIDATION_ERROR");
});

test("EX-09: requireSession guards a host's own routes with the family's tokens, in problem+json", async (t) => {
  const family = await openFamily(t, {
    behind(app, auth) {
      app.get("/mine", requireSession(auth, { tenant: "main", level: "aal2" }), (_req, res) => {
        res.json({ fine: true });
      });
    },
  });
  const session = await registerAndLogIn(family);
  const see = async (token?: string) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${family.origin}/mine`, { headers });
    return { answer, body: (await answer.json()) as Record<string, unknown> };
  };

  for (const { token, status, code, challenge } of [
    { status: 401, code: "unauthenticated", challenge: 'Bearer realm="polyfactor"' },
    {
      token: "x.y.z",
      status: 401,
      code: "invalid_token",
      challenge: 'Bearer realm="polyfactor", error="invalid_token"',
    },
    {
      token: session.access,
      status: 401,
      code: "step_up_required",
      challenge:
        'Bearer realm="polyfactor", error="insufficient_user_authentication", acr_values="aal2"',
    },
  ]) {
    const { answer, body } = await see(token);
    assert.equal(answer.status, status);
    assert.equal(answer.headers.get("www-authenticate"), challenge);
    assert.match(String(answer.headers.get("content-type")), /^application\/problem\+json/);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.deepEqual(
      [body.status, body.code, body.type],
      [status, code, `urn:polyfactor:problem:${code}`],
    );
  }
});
