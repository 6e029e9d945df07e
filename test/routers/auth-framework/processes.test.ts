import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { atOnce, totpCode } from "../../support/auth.ts";
import {
  alice,
  bob,
  challengeOf,
  clientOf,
  enrol,
  finishLogin,
  logIn,
  openFamily,
  register,
  registerEnrolled,
  type Client,
} from "../../support/auth-framework.ts";
import { startChild, type Child } from "../../support/child.ts";
import type { TestClock } from "../../support/clock.ts";
import { openDatabase, type TestDatabase } from "../../support/database.ts";

interface App extends Client {
  readonly child: Child;
  readonly origin: string;
  readonly clock: TestClock;
}

/** The clock of the processes: the machine's, and what they were told to be ahead. */
interface SharedClock extends TestClock {
  /** Tells every process of it. */
  spread(...apps: App[]): Promise<void>;
}

function sharedClock(): SharedClock {
  let ahead = 0;
  let told = 0;
  return {
    clock: () => new Date(Date.now() + ahead),
    advance(ms) {
      ahead += ms;
    },
    async spread(...apps) {
      for (const { child } of apps) await child.ask({ advance: ahead - told });
      told = ahead;
    },
  };
}

async function startApp(
  t: TestContext,
  { uri, connection }: TestDatabase,
  {
    clock,
    skew = 0,
    imports = [],
    flags = [],
  }: { clock: TestClock; skew?: number; imports?: readonly string[]; flags?: readonly string[] },
): Promise<App> {
  const child = startChild(t, "test/support/serve.ts", {
    env: { MONGODB_URI: uri, MONGODB_NAME: connection.name, CLOCK_SKEW: String(skew) },
    imports,
    flags,
  });
  const [, port = ""] = await child.said(/listening on (\d+)/);
  const origin = `http://127.0.0.1:${port}`;
  return { child, origin, clock, ...(await clientOf(origin)) };
}

async function startTwo(t: TestContext, skew = 0) {
  const database = await openDatabase(t);
  const clock = sharedClock();
  const [one, two] = await Promise.all([
    startApp(t, database, { clock, skew: -skew }),
    startApp(t, database, { clock, skew }),
  ]);
  return { one, two, clock, database };
}

test("TH-01: failures at one process count at the other, for known and unknown names", async (t) => {
  const { one, two } = await startTwo(t);
  await register(one);

  for (const username of ["alice", "nobody"]) {
    const attempt = async (app: Client) =>
      (await app.post("/auth/login", { username, password: "wrong" })).status;
    const statuses: number[] = [];
    for (const app of [one, two, one, two, one]) statuses.push(await attempt(app));

    assert.deepEqual(statuses, [401, 401, 401, 401, 401]);
    assert.deepEqual([await attempt(two), await attempt(one)], [429, 429]);
  }
});

test("TO-04, MC-05: a code and a challenge that one process took are spent at the other, fifty at once too", async (t) => {
  const { one, two, clock } = await startTwo(t);
  const { secret } = await registerEnrolled(one);
  await clock.spread(one, two);
  const code = totpCode(secret, clock);
  const challenge = await challengeOf(one);
  const second = await challengeOf(two);

  const answers = await Promise.all(
    atOnce(50, (index) =>
      finishLogin(index % 2 === 0 ? one : two, {
        challenge: index % 4 < 2 ? challenge : second,
        code,
      }),
    ),
  );

  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  assert.ok(answers.every(({ status }) => [200, 401, 429].includes(status)));
});

test("JW-09: what one process ends is ended at the other at once: logout, password change, factor removal", async (t) => {
  const { one, two, clock } = await startTwo(t);
  await register(one);
  const [first, second, third] = [await logIn(one), await logIn(two), await logIn(one)];
  const alive = async (app: Client, { access }: { access: string }) =>
    (await app.get("/auth/validate", { token: access })).status;
  assert.equal(await alive(two, first), 200);

  await one.post("/auth/logout", undefined, { token: first.access });
  assert.equal(await alive(two, first), 401);
  assert.equal((await two.post("/auth/refresh", { refresh_token: first.refresh })).status, 401);

  const change = { current_password: alice.password, new_password: bob.password };
  await two.post("/users/change-password", change, { token: second.access });
  assert.deepEqual([await alive(one, second), await alive(one, third)], [200, 401]);

  const { secret } = await enrol({ ...one, clock }, second);
  await clock.spread(one, two);
  const person = { ...alice, password: bob.password };
  const challenge = await challengeOf(two, person);
  const finished = await finishLogin(two, { challenge, code: totpCode(secret, clock), person });
  const fourth = { access: finished.data.access_token };
  clock.advance(30_000);
  await clock.spread(one, two);
  const off = { password: bob.password, totp_code: totpCode(secret, clock) };
  assert.equal((await one.post("/mfa/disable", off, { token: second.access })).status, 200);
  assert.equal(await alive(two, fourth), 401);
});

test("a login begun at one process is finished at the other, and of fifty registrations of one name over both one succeeds", async (t) => {
  const { one, two, clock } = await startTwo(t);
  const { secret } = await registerEnrolled(one);
  await clock.spread(one, two);
  const challenge = await challengeOf(one);
  const code = totpCode(secret, clock);
  assert.equal((await finishLogin(two, { challenge, code })).status, 200);

  const answers = await Promise.all(
    atOnce(50, (index) => (index % 2 === 0 ? one : two).post("/auth/register", bob)),
  );

  const statuses = answers.map(({ status }) => status).sort();
  assert.equal(statuses.filter((status) => status === 200).length, 1);
  assert.equal(statuses.filter((status) => status === 409).length, 49);
});

test("FT-06: two processes whose clocks differ by fifty seconds take each other's tokens", async (t) => {
  const { one, two } = await startTwo(t, 25_000);
  await register(one);
  const fromTwo = await logIn(two);
  const fromOne = await logIn(one);

  const read = async (app: Client, token: string) =>
    (await app.get("/auth/validate", { token })).status;

  assert.deepEqual([await read(one, fromTwo.access), await read(two, fromOne.access)], [200, 200]);
});

test("EX-10: an app that has Express 4 and no other registers, enrols and logs in", async (t) => {
  const database = await openDatabase(t);
  const clock = sharedClock();
  const imports = ["./test/support/express-4.ts"];
  const app = await startApp(t, database, { clock, imports });

  const { secret, access } = await registerEnrolled(app);
  await clock.spread(app);
  const challenge = await challengeOf(app);
  const finished = await finishLogin(app, { challenge, code: totpCode(secret, clock) });
  const wrongMethod = await app.call("PUT", "/auth/login", { body: {} });
  const malformed = await app.post("/auth/login", "{");
  const undecodable = await app.call("DELETE", "/users/sessions/%E0%A4%A", { token: access });

  assert.deepEqual(
    [finished.status, wrongMethod.status, malformed.status, undecodable.status],
    [200, 405, 400, 400],
  );
});

test("IV-03: the library runs where __proto__ throws", async (t) => {
  const database = await openDatabase(t);
  const clock = sharedClock();
  const app = await startApp(t, database, { clock, flags: ["--disable-proto=throw"] });

  const { secret } = await registerEnrolled(app);
  await clock.spread(app);
  const challenge = await challengeOf(app);
  const finished = await finishLogin(app, { challenge, code: totpCode(secret, clock) });
  const polluting = await app.post(
    "/auth/login",
    '{"__proto__":{"username":"alice"},"password":"x"}',
  );

  assert.deepEqual([finished.status, polluting.status], [200, 400]);
});

type Told = "ok" | "refused" | "unknown";

async function told(call: Promise<{ status: number }>): Promise<Told> {
  const status = await call.then(
    (answer) => answer.status,
    () => 0,
  );
  return status === 200 ? "ok" : status === 0 || status >= 500 ? "unknown" : "refused";
}

for (const answered of [0, 1, 8, 14]) {
  test(`FT-03: kill -9 in the middle, after ${answered} of twenty answers, leaves no code good twice, no name held twice or for ever, no session unproved`, async (t) => {
    const database = await openDatabase(t);
    const clock = sharedClock();
    const app = await startApp(t, database, { clock });
    const person = await registerEnrolled(app);
    await clock.spread(app);
    const codes = person.backupCodes;
    const challenges = await Promise.all(codes.map(() => challengeOf(app)));
    const names = codes.map((_, index) => `person-${index}`);
    const join = (client: Client, username: string) =>
      client.post("/auth/register", { ...bob, username, email: `${username}@example.org` });

    let answers = 0;
    const killAfter = async (outcome: Promise<Told>): Promise<Told> => {
      const one = await outcome;
      answers += 1;
      if (answers === answered) app.child.signal("SIGKILL");
      return one;
    };
    const work = Promise.all([
      Promise.all(
        codes.map((code, at) =>
          killAfter(told(finishLogin(app, { challenge: challenges[at] ?? "", code }))),
        ),
      ),
      Promise.all(names.map((name) => killAfter(told(join(app, name))))),
    ]);
    if (answered === 0) {
      await delay(20);
      app.child.signal("SIGKILL");
    }
    const [used, joined] = await work;
    await app.child.ended;

    const next = await startApp(t, database, { clock });
    const accounts = database.connection.collection("polyfactor_accounts");

    // INV-1: with everything that was told before, no code is good more than once.
    const after: Told[] = [];
    for (const code of codes) {
      // Trying what is spent costs an attempt: the longest delay passes.
      await next.child.ask({ advance: 900_000 });
      const challenge = await challengeOf(next);
      after.push(await told(finishLogin(next, { challenge, code })));
    }
    for (const [at, before] of used.entries()) {
      assert.ok(
        !(before === "ok" && after[at] === "ok"),
        `code ${at}: ${before}, then ${String(after[at])}`,
      );
      assert.ok(before !== "refused", `code ${at} was right`);
    }

    // INV-7: every name is held by one active account at most, and is free again where by none.
    for (const [at, username] of names.entries()) {
      const answer = await join(next, username);
      const expected = joined[at] === "ok" ? [409] : [200, 409];
      assert.ok(
        expected.includes(answer.status),
        `${username}: ${String(joined[at])}, then ${answer.text}`,
      );
      assert.equal(await accounts.countDocuments({ username, state: "active" }), 1);
      await logIn(next, { username, password: bob.password });
    }

    // INV-2, INV-4: every session of hers rests on a second factor or is the one she enrolled in.
    const stored = await accounts.findOne({ username: "alice" });
    const sessions = Object.values((stored?.sessions ?? {}) as Record<string, { proofs: object }>);
    assert.ok(sessions.every(({ proofs }) => "totp" in proofs || "backup_code" in proofs));
    const spent = after.filter((one) => one === "ok").length;
    assert.ok(sessions.length <= 1 + codes.length && spent <= codes.length);
    const left = Object.keys((stored?.backup as { codes: object } | undefined)?.codes ?? {});
    assert.deepEqual(left, []);
  });
}

/** Stands before a server and cuts every answer off once it is complete. */
async function cutAnswers(
  t: TestContext,
  port: number,
): Promise<{ origin: string; lost: number[] }> {
  const lost: number[] = [];
  const proxy = createServer((req, res) => {
    const { method = "GET", url = "/", headers } = req;
    const onward = request({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
      void complete(answer).then(() => {
        lost.push(answer.statusCode ?? 0);
        res.destroy();
      });
    });
    req.pipe(onward);
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { origin: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, lost };
}

async function complete(answer: IncomingMessage): Promise<void> {
  answer.resume();
  await once(answer, "end");
}

test("FT-04: where the answer was lost after the commit, the same code is refused and a new one works", async (t) => {
  const family = await openFamily(t);
  const { secret, id } = await registerEnrolled(family);
  const { origin, lost } = await cutAnswers(t, family.port);
  const challenge = await challengeOf(family);
  const code = totpCode(secret, family.clock);
  const { username, password } = alice;
  const body = JSON.stringify({ username, password, challenge_id: challenge, mfa_code: code });

  await assert.rejects(
    fetch(`${origin}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    }),
  );

  assert.deepEqual(lost, [200]);
  assert.equal((await finishLogin(family, { challenge, code })).status, 401);
  const again = await challengeOf(family);
  assert.equal((await finishLogin(family, { challenge: again, code })).status, 401);
  family.clock.advance(30_000);
  const fresh = totpCode(secret, family.clock);
  assert.equal((await finishLogin(family, { challenge: again, code: fresh })).status, 200);
  const reasons = (await family.auditEvents())
    .filter(({ type, account }) => type === "second_factor" && account === id)
    .map(({ outcome, reason }) => reason ?? outcome);
  assert.deepEqual(reasons, ["success", "gone", "replayed", "success"]);
});
