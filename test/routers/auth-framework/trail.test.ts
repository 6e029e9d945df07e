import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import type { AuditEvent } from "../../../lib/index.ts";
import { totpCode, wrongCode } from "../../support/auth.ts";
import {
  alice,
  bob,
  challengeOf,
  finishLogin,
  logIn,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
} from "../../support/auth-framework.ts";
import { requestText, sendRaw } from "../../support/listening.ts";

const lines = (events: readonly AuditEvent[]): readonly string[] =>
  events.map(({ type, outcome, reason }) => [type, outcome, reason ?? ""].join(" ").trim());

test("LG-01: an event has UTC time, tenant, account or hashed name, address, client and session", async (t) => {
  const family = await openFamily(t);
  const { id, access: token } = await registerAndLogIn(family);
  await family.post("/auth/login", { username: "nobody-here", password: "x" });
  await family.post("/auth/logout", undefined, { token });

  const events = await family.auditEvents();

  for (const { at, tenant, ip, userAgent } of events) {
    assert.deepEqual(
      { at, tenant, ip, userAgent },
      {
        at: family.clock.clock(),
        ...{ tenant: "main", ip: "127.0.0.1", userAgent: "Alice's browser" },
      },
    );
  }
  const unknown = events.find(({ reason }) => reason === "unknown_name");
  assert.match(String(unknown?.name), /^[\w-]{43}$/);
  const ended = events.find(({ type }) => type === "session_end");
  assert.equal(ended?.account, id);
  assert.match(String(ended.session), /^[\w-]{12}$/);
});

test("LG-01: the request id that the host gave is in the trail", async (t) => {
  const family = await openFamily(t, {
    before(app) {
      app.use((req, _res, next) => {
        (req as { id?: string }).id = "request-7\n{}";
        next();
      });
    },
  });
  await register(family);

  const [event] = await family.auditEvents();

  assert.equal(event?.requestId, "request-7{}");
});

test("LG-01: limits, used-up budgets, refused requests and refused step-ups are in the trail", async (t) => {
  const family = await openFamily(t, { auth: { throttle: { limit: 8, window: 60 } } });
  const { access: token } = await registerEnrolled(family);
  const { username } = alice;
  for (let failure = 0; failure < 6; failure += 1) {
    await family.post("/auth/login", { username, password: "wrong" });
  }
  await family.post("/auth/login", "{");
  await family.post("/auth/login", { username: "x".repeat(1000) });
  family.clock.advance(1_000_000);
  await family.post("/mfa/setup", undefined, { token });
  for (let attempt = 0; attempt < 9; attempt += 1) {
    await family.post("/auth/login", { username: "nobody", password: "wrong" });
  }

  const seen = new Set(lines(await family.auditEvents()));

  for (const line of [
    "login refused wrong_password",
    "budget_exhausted refused password_delayed",
    "login refused too_many_attempts",
    "request_refused refused json_invalid",
    "request_refused refused too_big",
    "step_up refused step_up_required",
    "limit_hit refused",
  ]) {
    assert.ok(seen.has(line), `${line} is among ${[...seen].join(", ")}`);
  }
});

test("LG-01: the start of a session is in the trail with its id, so that every session is explained by an event", async (t) => {
  const family = await openFamily(t);
  const { id, secret } = await registerEnrolled(family);
  const code = totpCode(secret, family.clock);
  await finishLogin(family, { challenge: await challengeOf(family), code });

  const { sessions = {} } = await family.account(id);
  const events = await family.auditEvents();
  const explained = events.filter(({ session }) => session !== undefined);

  const unexplained = Object.keys(sessions).filter(
    (entry) =>
      !explained.some(({ session, type }) => session === entry && /login|second|start/.test(type)),
  );
  assert.deepEqual(unexplained, []);
});

const sentinel = "SENTINEL-7f3a9c";

test("LG-02: no password, code, token, key or full address is in the trail, in a log or on stderr, whatever goes wrong", async (t) => {
  const written: string[] = [];
  const keep = (...parts: unknown[]): boolean => written.push(inspect(parts, { depth: 9 })) > 0;
  t.mock.method(process.stderr, "write", keep);
  for (const method of ["log", "info", "warn", "error"] as const) {
    t.mock.method(console, method, keep);
  }
  const person = {
    username: "sentinel",
    email: `${sentinel}@example.org`,
    password: `${sentinel} is a long password`,
  };
  const family = await openFamily(t);
  const { id, access, refresh, secret, backupCodes } = await registerEnrolled(family, person);
  const challenge = await challengeOf(family, person);
  const { password } = person;
  const bodies = [
    `{"username":"sentinel","password":"${password}"`,
    JSON.stringify([password]),
    { username: sentinel, password: `${sentinel} is wrong` },
    { username: "sentinel", password: { $ne: sentinel } },
    {
      username: "sentinel",
      password,
      challenge_id: challenge,
      mfa_code: wrongCode(secret, family.clock),
    },
    { username: "sentinel", password, challenge_id: `${challenge}${sentinel}`, mfa_code: "123456" },
    { [sentinel]: sentinel },
  ];
  for (const body of bodies) await family.post("/auth/login", body);
  await family.post("/auth/refresh", { refresh_token: `${refresh}${sentinel}` });
  await family.get("/mfa/status", { token: `${access}.${sentinel}` });
  await family.post("/auth/verify-email", { token: sentinel });
  await family.get(`/mfa/status?access_token=${sentinel}`);
  await family.post("/mfa/verify-backup-code", { backup_code: sentinel }, { token: access });
  await sendRaw(family.port, requestText("POST", "/api/v1/auth/login", { body: password }));

  const trail = JSON.stringify(await family.auditEvents());
  const [mail] = await family.mails("verify_email");
  t.mock.restoreAll();
  const kept = [trail, written.join("\n")];

  const hidden = [sentinel, access, refresh, challenge, secret, mail?.token ?? "", ...backupCodes];
  for (const text of kept) {
    assert.deepEqual(
      hidden.filter((one) => one !== "" && text.includes(one)),
      [],
    );
    assert.deepEqual(
      family.options.keys.filter((key) => text.includes(String(key.secret))),
      [],
    );
  }
  const stored = JSON.stringify(await family.account(id));
  assert.ok(!stored.includes(password));
});

test("LG-03: a name, a client and an address that carry control or bidi characters stay one plain line", async (t) => {
  const family = await openFamily(t, {
    before(app) {
      app.set("trust proxy", true);
    },
  });
  const { access: token } = await registerAndLogIn(family);
  const forged = '\\n{"level":"fatal"}';
  const headers = [
    `User-Agent: evil${forged}\u00e2\u0080\u00ae\u0085\u009b31m`,
    `X-Forwarded-For: 192.0.2.7\u0085\u009b31m`,
    "Content-Type: application/json",
  ];
  const body = JSON.stringify({ username: "alice", password: alice.password });
  const request = Buffer.from(
    requestText("POST", "/api/v1/auth/login", { headers, body }),
    "latin1",
  );
  assert.equal((await sendRaw(family.port, request)).status, 200);
  const change = { first_name: `A\r\n${forged}\u202e`, last_name: "\u0000" };
  await family.call("PUT", "/users/profile", { body: change, token });

  const { list } = await family.get("/users/sessions", { token });
  const texts = [...(await family.auditEvents()), ...(list as object[])]
    .flatMap((row) => Object.values(row) as unknown[])
    .filter((value) => typeof value === "string");

  const bad = texts.filter((text) => /[\p{Cc}\u2028\u2029\u202a-\u202e]/u.test(text));
  assert.deepEqual(bad, []);
});

test("LG-04: an audit sink that fails or hangs holds no login up, and is counted", async (t) => {
  const sink = (): Promise<void> => Promise.reject(new Error("the sink is broken"));
  const family = await openFamily(t, { auth: { audit: sink } });
  await register(family);
  const began = performance.now();

  await logIn(family);

  assert.ok(performance.now() - began < 2000);
  await family.auth.close();
  assert.ok(family.auth.lostAuditEvents() >= 2);
  await assert.rejects(family.calls.disable((await logIn(family)).id));
  await register(family, bob);
});
