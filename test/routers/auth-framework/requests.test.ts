import assert from "node:assert/strict";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Delivery } from "../../../lib/index.ts";
import { createPasswordHasher } from "../../../lib/index.ts";
import { atOnce, totpCode } from "../../support/auth.ts";
import {
  alice,
  challengeOf,
  finishLogin,
  logIn,
  openFamily,
  outcome,
  register,
  registerAndLogIn,
  registerEnrolled,
  type OpenedFamily,
} from "../../support/auth-framework.ts";
import { countingHasher, quickHasher } from "../../support/hasher.ts";
import { requestText } from "../../support/listening.ts";

function watchRejections(t: TestContext): readonly unknown[] {
  const seen: unknown[] = [];
  const note = (reason: unknown) => seen.push(reason);
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  return seen;
}

const never = (): Promise<never> => new Promise(() => undefined);
const later = (): Promise<never> => Promise.reject(new Error("rejected"));
const atOnceThrown = (): never => {
  throw new Error("thrown");
};

for (const [how, fail] of Object.entries({ throws: atOnceThrown, rejects: later })) {
  test(`EX-05: a hasher that ${how} is 503, is told to the host, and costs no attempt`, async (t) => {
    const rejections = watchRejections(t);
    const inner = quickHasher();
    let broken = false;
    const hasher = {
      ...inner,
      verify: (hash: string | undefined, password: string) =>
        broken ? fail() : inner.verify(hash, password),
    };
    const family = await openFamily(t, { faulty: true, auth: { hashing: { hasher } } });
    const id = await register(family);
    broken = true;

    const { username, password } = alice;
    const answer = await family.post("/auth/login", { username, password });
    broken = false;

    assert.deepEqual([answer.status, answer.error.code], [503, "SERVICE_UNAVAILABLE"]);
    assert.equal(answer.headers.get("retry-after"), "1");
    assert.doesNotMatch(answer.text, /thrown|rejected|stack/);
    assert.equal(family.faults.length, 1);
    assert.equal((await family.account(id)).budgets?.password?.fails, 0);
    await logIn(family);
    assert.deepEqual(rejections, []);
  });
}

test("EX-05: a hasher that never settles is 503 within the deadline, and others are served meanwhile", async (t) => {
  const inner = quickHasher();
  const hasher = {
    ...inner,
    verify: (hash: string | undefined, password: string) =>
      password === "hangs" ? never() : inner.verify(hash, password),
  };
  const family = await openFamily(t, { faulty: true, auth: { hashing: { hasher } } });
  const { access: token } = await registerAndLogIn(family);
  const began = performance.now();

  const stuck = family.post("/auth/login", { username: "nobody", password: "hangs" });
  const read = await family.get("/mfa/status", { token });
  const { status } = await stuck;

  assert.deepEqual([read.status, status], [200, 503]);
  assert.ok(performance.now() - began < 6000);
});

const deliveries: Readonly<Record<string, Delivery>> = {
  throws: { deliver: atOnceThrown },
  rejects: { deliver: later },
};

for (const [how, delivery] of Object.entries(deliveries)) {
  test(`EX-05: a mailer that ${how} fails no request, and is in the trail`, async (t) => {
    const rejections = watchRejections(t);
    const family = await openFamily(t, { auth: { delivery } });

    await registerAndLogIn(family);

    const events = await family.auditEvents();
    assert.ok(events.some(({ type }) => type === "delivery_failed"));
    assert.deepEqual(rejections, []);
  });
}

test("EX-05: a mailer that never settles holds up no answer", async (t) => {
  let release: () => void = () => undefined;
  const hangs = new Promise<void>((resolve) => {
    release = resolve;
  });
  t.after(release);
  const family = await openFamily(t, { auth: { delivery: { deliver: () => hangs } } });
  const began = performance.now();

  await registerAndLogIn(family);

  assert.ok(performance.now() - began < 3000);
});

for (const [what, router] of Object.entries({
  "`authorities`": { authorities: atOnceThrown },
  "`onFault` and `authorities`": { authorities: atOnceThrown, onFault: atOnceThrown },
})) {
  test(`EX-05: a host's ${what} that throws is 503, never a hanging request or an unhandled rejection`, async (t) => {
    const rejections = watchRejections(t);
    const family = await openFamily(t, { faulty: true, router });
    await register(family);

    const { username, password } = alice;
    const { status } = await family.post("/auth/login", { username, password });

    assert.equal(status, 503);
    await delay(20);
    assert.deepEqual(rejections, []);
  });
}

const failing = { username: "nobody", password: "wrong" };

async function statusesFrom(
  family: OpenedFamily,
  addresses: readonly string[],
): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (const address of addresses) {
    const headers = { "x-forwarded-for": address };
    statuses.push((await family.post("/auth/login", failing, { headers })).status);
  }
  return statuses;
}

const limited = { throttle: { limit: 2, window: 60 } };

test("EX-06: without trust proxy a forged X-Forwarded-For changes nothing: one bucket", async (t) => {
  const family = await openFamily(t, { auth: limited });

  const statuses = await statusesFrom(family, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);

  assert.deepEqual(statuses, [401, 401, 429]);
});

test("EX-06: with one trusted proxy the right-most address counts, whatever stands before it", async (t) => {
  const family = await openFamily(t, {
    auth: limited,
    before: (app) => app.set("trust proxy", 1),
  });

  const statuses = await statusesFrom(family, [
    "198.51.100.1, 198.51.100.2, 192.0.2.9",
    "198.51.100.3, 192.0.2.9",
    "192.0.2.9",
    "192.0.2.9, 192.0.2.10",
  ]);

  assert.deepEqual(statuses, [401, 401, 429, 401]);
  const events = await family.auditEvents();
  assert.equal(events[0]?.ip, "192.0.2.9");
});

for (const { what, addresses, statuses } of [
  {
    what: "an IPv4-mapped address is its IPv4 address",
    addresses: ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:192.0.2.1"],
    statuses: [401, 401, 429],
  },
  {
    what: "IPv6 addresses of one /64 are one",
    addresses: ["2001:db8::1", "2001:db8:0:0:ffff::2", "2001:0db8::dead:beef"],
    statuses: [401, 401, 429],
  },
  {
    what: "IPv6 addresses of two /64 are two",
    addresses: ["2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:1::2"],
    statuses: [401, 401, 401],
  },
]) {
  test(`EX-06: ${what}`, async (t) => {
    const family = await openFamily(t, {
      auth: limited,
      before: (app) => app.set("trust proxy", 1),
    });

    assert.deepEqual(await statusesFrom(family, addresses), statuses);
  });
}

/** Sends the beginning of a request and goes away. */
async function abandon(port: number, text: string): Promise<void> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.write(text, resolve));
  await delay(15);
  socket.destroy();
}

test("EX-11: a client that goes away after the headers, in the body or before the answer leaves no half-done state", async (t) => {
  const rejections = watchRejections(t);
  const family = await openFamily(t);
  const { id, secret } = await registerEnrolled(family);
  const challenge = await challengeOf(family);
  const { username, password } = alice;
  const code = totpCode(secret, family.clock);
  const body = JSON.stringify({ username, password, challenge_id: challenge, mfa_code: code });
  const headers = ["Content-Type: application/json"];
  const text = requestText("POST", "/api/v1/auth/login", { headers, body });
  const lastStep = async () => Object.values((await family.account(id)).totp ?? {})[0]?.lastStep;
  const before = { step: await lastStep(), sessions: await sessionsOf(family, id) };

  await abandon(family.port, text.slice(0, text.indexOf("\r\n\r\n") + 4));
  await abandon(family.port, text.slice(0, -20));
  assert.deepEqual({ step: await lastStep(), sessions: await sessionsOf(family, id) }, before);

  const socket = connect(family.port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(text, () => socket.destroy());
  const settled = await until(async () => (await sessionsOf(family, id)) > before.sessions, 1500);

  // Whole or not at all: the code is spent exactly where there is a session.
  const spent = (await lastStep()) !== before.step;
  assert.equal(spent, settled);
  const again = await finishLogin(family, { challenge, code });
  assert.equal(again.status === 200, !spent);
  assert.deepEqual(rejections, []);
});

async function sessionsOf(family: OpenedFamily, id: string): Promise<number> {
  return Object.keys((await family.account(id)).sessions ?? {}).length;
}

async function until(probe: () => Promise<boolean>, milliseconds: number): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (!(await probe())) {
    if (performance.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

test("PW-12: of 500 logins at once what exceeds the queue is 503 with Retry-After, none hangs, and others are served", async (t) => {
  const hasher = countingHasher(createPasswordHasher());
  const family = await openFamily(t, {
    auth: { hashing: { hasher } },
    behind(app) {
      app.get("/healthz", (_req, res) => {
        res.json({ status: "ok" });
      });
    },
  });
  const before = process.memoryUsage().rss;
  const state = { busy: true, served: 0 };
  const watch = async (): Promise<void> => {
    while (state.busy) {
      const { status } = await fetch(`${family.origin}/healthz`);
      if (status === 200) state.served += 1;
      await delay(10);
    }
  };

  const watching = watch();
  const answers = await Promise.all(
    atOnce(500, (index) =>
      family.post("/auth/login", { username: `nobody-${index}`, password: "wrong" }),
    ),
  );
  const { served } = state;
  state.busy = false;
  await watching;

  const tally: Record<string, number> = {};
  for (const answer of answers) tally[outcome(answer)] = (tally[outcome(answer)] ?? 0) + 1;
  const refused = answers.filter(({ status }) => status === 503);
  assert.deepEqual(Object.keys(tally).sort(), [
    "401 INVALID_CREDENTIALS",
    "503 SERVICE_UNAVAILABLE",
  ]);
  assert.ok((tally["401 INVALID_CREDENTIALS"] ?? 0) > 0);
  assert.ok(refused.length > 0, "the queue was full");
  assert.ok(refused.every(({ headers }) => headers.get("retry-after") === "1"));
  assert.ok(hasher.verified < 500, `${hasher.verified} were hashed`);
  assert.ok(process.memoryUsage().rss - before < 400_000_000);
  assert.ok(served > 3, `${served} other requests were served meanwhile`);
});
