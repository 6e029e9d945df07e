import assert from "node:assert/strict";
import { test } from "node:test";
import { hash as argon2, type Algorithm } from "@node-rs/argon2";
import bcrypt from "bcryptjs";
import {
  createAuth,
  createPasswordHasher,
  StepUpRequired,
  type AccountActing,
  type Store,
} from "../../lib/index.ts";
import {
  actAgain,
  actingIn,
  anyMethod,
  atOnce,
  browser,
  enrolTotp,
  logIn,
  openAuth,
  refusal,
  refusalOf,
  registerAlice,
  registerWithTotp,
  sessionIn,
  submitCode,
  tally,
  ticketIn,
  totpCode,
  wrongCode,
  type Enrolled,
  type OpenedAuth,
} from "../support/auth.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const bob = { username: "bob", email: "bob@example.org" };

/** The level of a session now, noting that it is in use. */
async function levelNow({ calls }: OpenedAuth, acting: AccountActing): Promise<string> {
  return calls.session(await actAgain(calls, acting)).level;
}

test("SE-05: a second factor carries a session for 24 hours, however much it is used", async (t) => {
  const opened = await openAuth(t);
  const { acting } = await registerWithTotp(opened);
  const levels: string[] = [];

  for (let tens = 0; tens < 6 * 24; tens += 1) {
    levels.push(await levelNow(opened, acting));
    opened.clock.advance(10 * MINUTE);
  }

  assert.deepEqual([...new Set(levels)], ["aal2"]);
  assert.equal(await levelNow(opened, acting), "aal1");
});

test("SE-05: an hour without use ends the level for good, though not the session", async (t) => {
  const opened = await openAuth(t);
  const { acting } = await registerWithTotp(opened);
  opened.clock.advance(HOUR - 30_000);
  const atTheHour = await levelNow(opened, acting);
  opened.clock.advance(HOUR + 1);

  const idle = await levelNow(opened, acting);
  const inUseAgain = await levelNow(opened, acting);

  assert.deepEqual([atTheHour, idle, inUseAgain], ["aal2", "aal1", "aal1"]);
});

test("SE-05: a session ends with its lifetime, however much it is used", async (t) => {
  const opened = await openAuth(t, { policy: { sessionLifetime: 3600 } });
  const { calls, clock } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  const token = await calls.accessToken(person.id, calls.session(acting), { lifetime: 7200 });

  for (let minutes = 0; minutes < 59; minutes += 1) {
    clock.advance(MINUTE);
    await calls.authenticate(token, {}, browser);
  }
  clock.advance(MINUTE);

  assert.equal(await refusal(calls.authenticate(token, {}, browser)), "invalid_token");
});

test("SE-05: a login may ask for a session of its own length", async (t) => {
  const { calls, clock } = await openAuth(t);
  const person = await registerAlice(calls);
  const context = { ...browser, lifetime: 60 };
  const progress = await calls.login("alice", { password: person.password }, context);
  const acting = await actingIn(calls, progress);

  clock.advance(MINUTE);

  assert.equal(await refusal(actAgain(calls, acting)), "invalid_token");
});

test("MC-10, JW-12: a session says what it rests on and since when", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  clock.advance(5000);

  const session = sessionIn(await submitCode(calls, ticket, totpCode(alice.secret, clock)));

  assert.deepEqual(
    [session.level, session.acr, session.amr],
    ["aal2", "aal2", ["pwd", "otp", "mfa"]],
  );
  assert.deepEqual(session.authTime, clock.clock());
  assert.deepEqual([session.label, session.ip], [browser.userAgent, browser.ip]);
});

test("MC-11: a second factor that is too old is asked for again, and step-up keeps the session's id", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const { acting, secret } = await registerWithTotp(opened);
  const demand = () =>
    calls.findSession(
      { subject: acting.subject, sessionId: acting.sessionId },
      { level: "aal2", maxAge: 600 },
      browser,
    );
  clock.advance(11 * MINUTE);

  const refused = await refusalOf(demand());
  const submission = { choice: anyMethod, proof: { code: totpCode(secret, clock) } };
  const raised = sessionIn(await calls.stepUp(acting, submission, browser));

  assert.ok(refused instanceof StepUpRequired);
  assert.deepEqual([refused.level, refused.maxAge], ["aal2", 600]);
  assert.deepEqual([raised.id, raised.level], [acting.sessionId, "aal2"]);
  await demand();
});

test("MC-11: the password, however fresh, does not stand in for the second factor", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));

  const code = await refusal(calls.findSession(acting, { level: "aal2", maxAge: 600 }, browser));

  assert.equal(code, "step_up_required");
});

const sensitive: readonly [
  string,
  (opened: OpenedAuth, alice: Enrolled, acting: AccountActing) => Promise<unknown>,
][] = [
  [
    "setting up another factor",
    ({ calls }, _alice, acting) => calls.enrolTotp(acting, {}, browser),
  ],
  ["removing a factor", ({ calls }, _alice, acting) => calls.removeTotp(acting, {}, browser)],
  [
    "new backup codes",
    ({ calls }, _alice, acting) => calls.replaceBackupCodes(acting, "long", browser),
  ],
  [
    "a new password",
    ({ calls }, { password }, acting) =>
      calls.changePassword(acting, { current: password, next: "nine loud trumpets" }, browser),
  ],
  [
    "a new address",
    ({ calls }, _alice, acting) =>
      calls.updateProfile(acting, { email: "new@example.org" }, browser),
  ],
];
for (const [what, attempt] of sensitive) {
  test(`PW-11, RT-09, BC-04: ${what} needs a second factor of the last fifteen minutes`, async (t) => {
    const opened = await openAuth(t);
    const alice = await registerWithTotp(opened);
    opened.clock.advance(15 * MINUTE);

    const acting = await actAgain(opened.calls, alice.acting);
    const before = await opened.account(alice.id);
    const code = await refusal(attempt(opened, alice, acting));

    assert.equal(code, "step_up_required");
    assert.deepEqual(await opened.account(alice.id), before);
  });
}

const eligibility: readonly [string, (opened: OpenedAuth, alice: Enrolled) => Promise<unknown>][] =
  [
    ["the account is disabled", ({ calls }, { id }) => calls.disable(id)],
    [
      "the account is disabled past the library",
      ({ tamper }, { id }) => tamper(id, { $set: { state: "disabled" } }),
    ],
    ["the account is removed", ({ calls }, { id }) => calls.remove(id)],
    ["the factor is removed", ({ calls }, { acting }) => calls.removeTotp(acting, {}, browser)],
    [
      "the factor is removed past the library",
      ({ tamper }, { id }) => tamper(id, { $unset: { totp: 1 } }),
    ],
    ["the factors are reset", ({ calls }, { id }) => calls.resetFactors(id)],
    [
      "another factor is added",
      async ({ calls, clock }, { acting }) => enrolTotp(calls, acting, { clock, name: "second" }),
    ],
    [
      "the backup codes are replaced",
      ({ calls }, { acting }) => calls.replaceBackupCodes(acting, "long", browser),
    ],
    ["the sessions are ended", ({ calls }, { id }) => calls.endSessions(id)],
    [
      "its owner ends every session",
      ({ calls }, { acting }) => calls.revokeSessions(acting, { keepOwn: false }, browser),
    ],
    [
      "its owner ends every other session",
      ({ calls }, { acting }) => calls.revokeSessions(acting, { keepOwn: true }, browser),
    ],
    [
      "the password changes",
      ({ calls }, { acting, password }) =>
        calls.changePassword(
          acting,
          { current: password, next: "nine loud trumpets on the hill" },
          browser,
        ),
    ],
    [
      "five minutes pass",
      ({ clock }) => {
        clock.advance(5 * MINUTE);
        return Promise.resolve();
      },
    ],
  ];
for (const [what, happen] of eligibility) {
  test(`MC-04, MC-07: a pending login is good for nothing once ${what}`, async (t) => {
    const opened = await openAuth(t);
    const alice = await registerWithTotp(opened);
    const ticket = ticketIn(await logIn(opened.calls, alice));

    await happen(opened, alice);
    opened.clock.advance(30_000);
    const outcome = await tally([
      submitCode(opened.calls, ticket, totpCode(alice.secret, opened.clock)),
    ]);

    assert.equal(outcome.ok, undefined);
  });
}

test("MC-04: a pending login is used up by its success", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  await submitCode(calls, ticket, totpCode(alice.secret, clock));
  clock.advance(30_000);

  const code = await refusal(submitCode(calls, ticket, totpCode(alice.secret, clock)));

  assert.equal(code, "invalid_ticket");
});

test("MC-08: whether a login needs a second factor follows from the factors, not from a flag", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  await opened.tamper(alice.id, { $set: { mfaEnabled: false, "profile.mfaEnabled": false } });

  const withFactor = await logIn(opened.calls, alice);
  await opened.tamper(alice.id, { $unset: { totp: 1 }, $set: { mfaEnabled: true } });
  const without = await logIn(opened.calls, alice);

  assert.deepEqual([withFactor.status, without.status], ["pending", "complete"]);
});

test("BC-07: backup codes alone are no second factor", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));

  const code = await refusal(calls.replaceBackupCodes(acting, "long", browser));

  assert.equal(code, "not_enrolled");
});

test("MC-01, MC-02: the ticket of a pending login opens nothing but its second step, and is not stored", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  const [, , secret = ""] = Buffer.from(ticket, "base64url").toString().split("\n");

  const outcomes = [
    await refusal(calls.authenticate(ticket, {}, browser)),
    await refusal(calls.refresh(ticket, { rotate: true }, browser)),
    await refusal(calls.verifyEmail(ticket, browser)),
    await refusal(calls.unlockByToken(ticket, browser)),
  ];

  assert.deepEqual(outcomes, [
    ...["invalid_token", "invalid_token"],
    ...["invalid_mailed_token", "invalid_mailed_token"],
  ]);
  assert.equal(Buffer.from(secret, "base64url").length, 32);
  assert.ok(!JSON.stringify(await opened.account(alice.id)).includes(secret));
});

test("MC-02: a ticket whose secret is another opens nothing, although account and entry are right", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  const [subject = "", entry = ""] = Buffer.from(ticket, "base64url").toString().split("\n");
  const forged = Buffer.from([subject, entry, "A".repeat(43)].join("\n")).toString("base64url");

  const code = await refusal(submitCode(calls, forged, totpCode(alice.secret, clock)));

  assert.equal(code, "invalid_ticket");
});

test("MC-03: the account of a login is the ticket's, whoever's code and name are given", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const other = await registerWithTotp(opened, bob);
  const ticket = ticketIn(await logIn(calls, alice));
  const before = await opened.account(other.id);
  const code = totpCode(other.secret, clock);
  const first = { name: "bob", password: other.password };

  const outcomes = [
    await refusal(submitCode(calls, ticket, code)),
    await refusal(calls.submit(ticket, { choice: anyMethod, proof: { code, first } }, browser)),
  ];

  assert.deepEqual(outcomes, ["invalid_code", "invalid_code"]);
  assert.deepEqual(await opened.account(other.id), before);
});

test("MC-09: a first factor that somebody else checked leads through the same gate", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const plain = await registerAlice(calls, bob);

  const pending = await calls.begin(alice.id, { amr: ["hwk"] }, browser);
  const done = sessionIn(await submitCode(calls, ticketIn(pending), totpCode(alice.secret, clock)));
  const straight = sessionIn(await calls.begin(plain.id, { amr: ["hwk"] }, browser));

  assert.deepEqual([done.amr, done.acr], [["hwk", "otp", "mfa"], "aal2"]);
  assert.deepEqual([straight.amr, straight.acr], [["hwk"], "aal1"]);
});

test("MC-09: nobody begins for a subject that is unknown or disabled", async (t) => {
  const { calls } = await openAuth(t);
  const { id } = await registerAlice(calls);
  await calls.disable(id);

  const outcomes = [
    await refusal(calls.begin(id, {}, browser)),
    await refusal(calls.begin("nobody", {}, browser)),
  ];

  assert.deepEqual(outcomes, ["invalid_credentials", "invalid_credentials"]);
});

test("a host's own session may vouch for a pending login by subject and entry", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const pending = await logIn(calls, alice);
  assert.ok(pending.status === "pending");
  const handle = { subject: pending.accountId, entry: pending.entry };
  const submission = { choice: anyMethod, proof: { code: totpCode(alice.secret, clock) } };

  const progress = await calls.submit(handle, submission, browser);

  assert.equal(progress.status, "complete");
});

for (const { policy, level } of [
  { policy: "optional" as const, level: "aal1" },
  { policy: "required" as const, level: "enrol" },
  { policy: { requiredFrom: new Date(0) }, level: "enrol" },
  { policy: { requiredFrom: new Date(8e15) }, level: "aal1" },
  { policy: () => "required" as const, level: "enrol" },
]) {
  test(`an account without a factor has a session of level ${level} under the policy ${typeof policy === "function" ? "of a function" : JSON.stringify(policy)}`, async (t) => {
    const { calls } = await openAuth(t, { policy: { secondFactor: policy } });

    const session = sessionIn(await logIn(calls, await registerAlice(calls)));

    assert.equal(session.level, level);
  });
}

test("a session that may only enrol is raised by the factor it confirms, and by nothing else", async (t) => {
  const opened = await openAuth(t, { policy: { secondFactor: "required" } });
  const { calls, clock } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  const ask = () => refusal(calls.findSession(acting, {}, browser));

  const before = await ask();
  const setup = await calls.enrolTotp(acting, {}, browser);
  const prepared = await ask();
  const code = totpCode(setup.secret, clock);
  await calls.confirmTotp(await actAgain(calls, acting), { code }, browser);

  assert.deepEqual([before, prepared], ["enrolment_required", "enrolment_required"]);
  await calls.findSession(acting, { level: "aal2" }, browser);
});

/** Alice, logged in three times. */
async function threeSessions({ calls }: OpenedAuth): Promise<AccountActing[]> {
  const person = await registerAlice(calls);
  const sessions: AccountActing[] = [];
  for (let count = 0; count < 3; count += 1) {
    sessions.push(await actingIn(calls, await logIn(calls, person)));
  }
  return Promise.all(sessions.map((acting) => actAgain(calls, acting)));
}

/** Which of the sessions are live. */
function alive({ calls }: OpenedAuth, sessions: readonly AccountActing[]): Promise<boolean[]> {
  return Promise.all(
    sessions.map((acting) =>
      actAgain(calls, acting).then(
        () => true,
        () => false,
      ),
    ),
  );
}

test("SE-08: an owner sees the sessions, newest use first, and ends any one of them", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const sessions = await threeSessions(opened);
  const [own, other] = sessions;
  assert.ok(own && other);

  const listed = calls.sessions(own).map(({ id }) => id);
  await calls.revokeSession(own, other.sessionId, browser);
  const again = await refusal(calls.revokeSession(own, other.sessionId, browser));

  assert.deepEqual([...listed].sort(), sessions.map(({ sessionId }) => sessionId).sort());
  assert.deepEqual(await alive(opened, sessions), [true, false, true]);
  assert.equal(again, "not_found");
});

for (const { keepOwn, left } of [
  { keepOwn: true, left: [true, false, false] },
  { keepOwn: false, left: [false, false, false] },
]) {
  test(`SE-08: an owner ends every session${keepOwn ? " but the one that asks" : ""} in one write`, async (t) => {
    const opened = await openAuth(t);
    const sessions = await threeSessions(opened);
    const [own] = sessions;
    assert.ok(own);

    await opened.calls.revokeSessions(own, { keepOwn }, browser);

    assert.deepEqual(await alive(opened, sessions), left);
  });
}

test("SE-08: a session that was ended cannot keep itself while it ends the others", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const [own, other] = await threeSessions(opened);
  assert.ok(own && other);
  await calls.revokeSession(other, own.sessionId, browser);

  const code = await refusal(calls.revokeSessions(own, { keepOwn: true }, browser));

  assert.equal(code, "conflict");
  assert.deepEqual(await alive(opened, [own, other]), [false, true]);
});

test("INV-5: a session that was ended changes nothing any more, whatever it was about to", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const { acting, id } = await registerWithTotp(opened);
  await calls.revokeSession(acting, acting.sessionId, browser);
  const before = await opened.account(id);

  const outcomes = await tally([
    calls.enrolTotp(acting, {}, browser),
    calls.replaceBackupCodes(acting, "long", browser),
    calls.removeTotp(acting, {}, browser),
    calls.updateProfile(acting, { firstName: "Mallory" }, browser),
    calls.updateProfile(acting, { email: "mallory@example.org" }, browser),
  ]);

  assert.equal(outcomes.ok, undefined);
  const after = await opened.account(id);
  assert.deepEqual({ ...after, budgets: {} }, { ...before, budgets: {} });
});

test("JW-13: a refresh token that was spent meanwhile is not revived by whoever ends the other sessions", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const [own] = await threeSessions(opened);
  assert.ok(own);
  const token = await calls.refreshToken(own.subject, calls.session(own));
  await calls.refresh(token, { rotate: true }, browser);

  const code = await refusal(calls.revokeSessions(own, { keepOwn: true }, browser));

  const { sessions = {} } = await opened.account(own.subject);
  assert.deepEqual([code, sessions[own.sessionId]?.refresh], ["conflict", 1]);
});

test("SE-06: a request that is under way cannot undo a logout", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const [own] = await threeSessions(opened);
  assert.ok(own);
  clock.advance(6 * MINUTE);
  const token = await calls.accessToken(own.subject, calls.session(own));

  await Promise.allSettled([
    ...atOnce(25, () => calls.authenticate(token, {}, browser)),
    calls.logout({ accessToken: token }, browser),
    ...atOnce(25, () => calls.authenticate(token, {}, browser)),
  ]);

  assert.deepEqual(await alive(opened, [own]), [false]);
});

test("MT-03: nobody ends a session or removes a factor of somebody else", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerWithTotp(opened);
  const other = await registerWithTotp(opened, bob);

  const outcomes = [
    await refusal(calls.revokeSession(other.acting, alice.acting.sessionId, browser)),
    await refusal(calls.removeTotp(other.acting, { deviceId: alice.deviceId }, browser)),
  ];

  assert.deepEqual(outcomes, ["not_found", "not_found"]);
  assert.equal(await levelNow(opened, alice.acting), "aal2");
});

test("MT-01: a token of one tenant is none in another", async (t) => {
  const { auth, calls } = await openAuth(t);
  const other = auth.tenant("other");
  const person = await registerAlice(calls);
  const session = sessionIn(await logIn(calls, person));
  const access = await calls.accessToken(person.id, session);
  const refresh = await calls.refreshToken(person.id, session);

  const outcomes = [
    await refusal(other.authenticate(access, {}, browser)),
    await refusal(other.refresh(refresh, { rotate: true }, browser)),
    await refusal(other.findSession({ subject: person.id, sessionId: session.id }, {}, browser)),
    await refusal(other.begin(person.id, {}, browser)),
    await refusal(other.disable(person.id)),
  ];

  assert.deepEqual(outcomes, [
    ...["invalid_token", "invalid_token", "invalid_token"],
    ...["invalid_credentials", "not_found"],
  ]);
});

test("JW-05: an access token refreshes nothing and a refresh token opens nothing", async (t) => {
  const { calls } = await openAuth(t);
  const person = await registerAlice(calls);
  const session = sessionIn(await logIn(calls, person));
  const access = await calls.accessToken(person.id, session);
  const refresh = await calls.refreshToken(person.id, session);

  const outcomes = [
    await refusal(calls.authenticate(refresh, {}, browser)),
    await refusal(calls.refresh(access, { rotate: true }, browser)),
    await refusal(calls.refresh(access, { rotate: false }, browser)),
  ];

  assert.deepEqual(outcomes, ["invalid_token", "invalid_token", "invalid_token"]);
});

test("JW-06, JW-09: an access token lives fifteen minutes, and no longer than its session", async (t) => {
  const { calls, clock } = await openAuth(t);
  const person = await registerAlice(calls);
  const session = sessionIn(await logIn(calls, person));
  const token = await calls.accessToken(person.id, session);

  clock.advance(15 * MINUTE - 1000);
  await calls.authenticate(token, {}, browser);
  clock.advance(1000);
  const expired = await refusal(calls.authenticate(token, {}, browser));

  assert.equal(expired, "invalid_token");
});

test("a logout takes an expired token, ends the refresh token's session too, and none of a stranger's", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const sessions = await threeSessions(opened);
  const [own, other] = sessions;
  assert.ok(own && other);
  const accessToken = await calls.accessToken(own.subject, calls.session(own));
  const refreshToken = await calls.refreshToken(own.subject, calls.session(other));
  clock.advance(HOUR);

  await calls.logout({ accessToken, refreshToken }, browser);
  const forged = await refusal(calls.logout({ accessToken: `${accessToken}x` }, browser));

  assert.deepEqual(await alive(opened, sessions), [false, false, true]);
  assert.equal(forged, "invalid_token");
});

test("JW-13: a refresh token that was replaced is taken for stolen after the grace, and ends the session", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const [own] = await threeSessions(opened);
  assert.ok(own);
  const token = await calls.refreshToken(own.subject, calls.session(own));
  const { refreshToken: successor = "" } = await calls.refresh(token, { rotate: true }, browser);

  clock.advance(9999);
  await calls.refresh(token, { rotate: true }, browser);
  clock.advance(1);
  const stolen = await refusal(calls.refresh(token, { rotate: true }, browser));
  const rightful = await refusal(calls.refresh(successor, { rotate: true }, browser));

  assert.deepEqual([stolen, rightful], ["invalid_token", "invalid_token"]);
  assert.deepEqual(await alive(opened, [own]), [false]);
});

test("PW-11: a wrong current password changes nothing and counts as an attempt", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  const wanted = { current: "not the password of anybody", next: "nine loud trumpets" };

  const code = await refusal(calls.changePassword(acting, wanted, browser));

  assert.equal(code, "wrong_password");
  assert.equal((await opened.account(person.id)).budgets?.password?.fails, 1);
  assert.equal((await logIn(calls, person)).status, "complete");
});

test("PW-11, RT-03: a new password ends other sessions and mailed tokens, and the old one opens nothing", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const sessions = await threeSessions(opened);
  const [own] = sessions;
  assert.ok(own);
  const [{ token = "" } = {}] = await opened.mails("verify_email");
  const { password } = await aliceOf(opened);
  const next = "nine loud trumpets on the hill";

  await calls.changePassword(own, { current: password, next }, browser);

  assert.deepEqual(await alive(opened, sessions), [true, false, false]);
  assert.equal(await refusal(calls.verifyEmail(token, browser)), "invalid_mailed_token");
  assert.equal(await refusal(logIn(calls, { username: "alice", password })), "invalid_credentials");
  assert.equal((await logIn(calls, { username: "alice", password: next })).status, "complete");
  assert.equal((await opened.mails("password_changed")).length, 1);
});

/** What Alice registers with, from the helper's own defaults. */
async function aliceOf({ auth }: OpenedAuth): Promise<{ password: string }> {
  return registerAlice(auth.tenant("elsewhere"));
}

test("SE-08: removing a factor ends the other sessions; adding one does not", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const progress = await submitCode(
    calls,
    ticketIn(await logIn(calls, alice)),
    totpCode(alice.secret, clock),
  );
  const other = await actingIn(calls, progress);

  await enrolTotp(calls, await actAgain(calls, alice.acting), { clock, name: "second" });
  const afterAdding = await alive(opened, [alice.acting, other]);
  const own = await actAgain(calls, alice.acting);
  await calls.removeTotp(own, { deviceId: alice.deviceId }, browser);

  assert.deepEqual(afterAdding, [true, true]);
  assert.deepEqual(await alive(opened, [alice.acting, other]), [true, false]);
});

test("MC-12: the last factor stays where policy wants one, and goes where it does not, with its backup codes", async (t) => {
  const strict = await openAuth(t, { policy: { secondFactor: "required" } });
  const lenient = await openAuth(t);
  const [kept, gone] = [await registerWithTotp(strict), await registerWithTotp(lenient)];
  const both = { password: kept.password, code: totpCode(kept.secret, strict.clock) };

  const removed = await refusal(strict.calls.removeTotp(kept.acting, {}, browser));
  const disabled = await refusal(strict.calls.disableSecondFactors(kept.acting, both, browser));
  await lenient.calls.removeTotp(gone.acting, {}, browser);

  assert.deepEqual([removed, disabled], ["last_factor", "last_factor"]);
  const { totp, backup } = await lenient.account(gone.id);
  assert.deepEqual([totp, backup], [undefined, undefined]);
  assert.equal((await lenient.mails("factor_removed")).length, 1);
});

test("a second factor is switched off with password and code together, and a wrong one of them pays both", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const code = totpCode(alice.secret, clock);
  const { password } = alice;

  const outcomes = [
    await refusal(calls.disableSecondFactors(alice.acting, { password: "wrong", code }, browser)),
    await refusal(
      calls.disableSecondFactors(
        alice.acting,
        { password, code: wrongCode(alice.secret, clock) },
        browser,
      ),
    ),
  ];
  const { budgets } = await opened.account(alice.id);
  await calls.disableSecondFactors(alice.acting, { password, code }, browser);

  assert.deepEqual(outcomes, ["wrong_password", "invalid_code"]);
  assert.deepEqual([budgets?.password?.fails, budgets?.code?.fails], [2, 2]);
  assert.equal((await logIn(calls, alice)).status, "complete");
});

test("SE-08: a host disables an account: sessions end, logins are refused, tokens say why, and enabling revives none", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  const access = await calls.accessToken(person.id, calls.session(acting));
  const refresh = await calls.refreshToken(person.id, calls.session(acting));

  await calls.disable(person.id);
  const whileDisabled = [
    await refusal(logIn(calls, person)),
    await refusal(calls.authenticate(access, {}, browser)),
    await refusal(calls.refresh(refresh, { rotate: true }, browser)),
  ];
  await calls.enable(person.id);
  const after = await refusal(calls.refresh(refresh, { rotate: true }, browser));

  assert.deepEqual(whileDisabled, ["invalid_credentials", "invalid_token", "account_disabled"]);
  assert.equal(after, "invalid_token");
  assert.equal((await logIn(calls, person)).status, "complete");
});

test("SE-08: a host ends the sessions of an account, or removes it with everything, and its names are free", async (t) => {
  const opened = await openAuth(t);
  const { calls, connection } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));

  await calls.endSessions(person.id);
  const ended = await alive(opened, [acting]);
  const next = await actingIn(calls, await logIn(calls, person));
  await calls.remove(person.id);

  assert.deepEqual([ended, await alive(opened, [next])], [[false], [false]]);
  assert.equal(await connection.collection("polyfactor_identifiers").countDocuments(), 0);
  assert.notEqual((await registerAlice(calls)).id, person.id);
});

test("INV-7: a name that leads to an account which does not list it opens nothing, in the time of any other", async (t) => {
  const opened = await openAuth(t);
  const person = await registerAlice(opened.calls);
  await opened.tamper(person.id, { $set: { names: {} } });
  const before = opened.hasher.verified;

  const code = await refusal(logIn(opened.calls, person));

  assert.deepEqual([code, opened.hasher.verified - before], ["invalid_credentials", 1]);
  assert.equal((await opened.account(person.id)).budgets?.password?.fails, undefined);
});

test("a host removes every second factor: the owner is told, and the next login needs none", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerWithTotp(opened);

  await calls.resetFactors(alice.id);

  assert.deepEqual(await alive(opened, [alice.acting]), [false]);
  assert.equal((await logIn(calls, alice)).status, "complete");
  assert.equal((await opened.mails("factors_reset")).length, 1);
});

test("LG-01, LG-04: what a host does to an account stands in the audit trail", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const { id } = await registerAlice(calls);
  await calls.disable(id);
  await calls.enable(id);
  await calls.unlock(id);
  await calls.endSessions(id);
  await calls.resetFactors(id);
  await calls.remove(id);

  const events = await opened.auditEvents();

  const ofTheHost = events.filter(
    ({ type, account }) => type === "administration" && account === id,
  );
  const said = (what: string) => [`${what} unknown`, `${what} success`];
  assert.deepEqual(
    ofTheHost.map(({ reason = "", outcome }) => `${reason} ${outcome}`),
    ["disable", "enable", "unlock", "end_sessions", "reset_factors", "remove"].flatMap(said),
  );
});

test("a host that names an account which is not there is told so, whatever it wants", async (t) => {
  const { calls } = await openAuth(t);

  const outcomes = await tally(
    ["nobody", "$where", ""].flatMap((id) => [
      ...[calls.disable(id), calls.enable(id), calls.unlock(id), calls.remove(id)],
      ...[calls.endSessions(id), calls.resetFactors(id)],
    ]),
  );

  assert.deepEqual(outcomes, { not_found: 18 });
});

const tokenOf = (link = ""): string =>
  new URLSearchParams(new URL(link).hash.slice(1)).get("token") ?? "";

test("RT-01, RT-07, RT-08: the mailed link names the configured host, carries its token in the fragment, and is not stored", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const [{ link = "", to } = { to: "" }] = await opened.mails("verify_email");
  const [, , secret = ""] = Buffer.from(tokenOf(link), "base64url").toString().split("\n");

  const stored = JSON.stringify(await opened.account(person.id));
  const { accountId } = await calls.verifyEmail(tokenOf(link), browser);

  assert.equal(to, person.email);
  assert.ok(link.startsWith("https://login.example.org/verify-email#"), link);
  assert.equal(Buffer.from(secret, "base64url").length, 32);
  assert.ok(!stored.includes(secret) && !stored.includes(tokenOf(link)));
  assert.equal(accountId, person.id);
  assert.ok((await opened.account(person.id)).email?.verifiedAt);
});

for (const { wait, outcome } of [
  { wait: DAY - 1, outcome: { ok: 1 } },
  { wait: DAY, outcome: { invalid_mailed_token: 1 } },
]) {
  test(`RT-02: a mailed token after ${wait} milliseconds of a day`, async (t) => {
    const opened = await openAuth(t);
    await registerAlice(opened.calls);
    const [{ token = "" } = {}] = await opened.mails("verify_email");

    opened.clock.advance(wait);

    assert.deepEqual(await tally([opened.calls.verifyEmail(token, browser)]), outcome);
  });
}

test("RT-03: a newer token ends the older one, and each is good once", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const person = await registerAlice(calls);
  clock.advance(MINUTE);
  await calls.resendVerification(person.email, browser);
  const [older = "", newer = ""] = (await opened.mails("verify_email")).map(({ token }) => token);

  const outcomes = [
    await tally([calls.verifyEmail(older, browser)]),
    await tally([calls.verifyEmail(newer, browser)]),
    await tally([calls.verifyEmail(newer, browser)]),
  ];

  assert.deepEqual(outcomes, [{ invalid_mailed_token: 1 }, { ok: 1 }, { invalid_mailed_token: 1 }]);
});

test("RT-03, TH-08: the last link that was mailed stays good where a limit lets no newer one out", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const person = await registerAlice(calls);
  for (let count = 0; count < 8; count += 1) {
    clock.advance(61_000);
    await calls.resendVerification(person.email, browser);
    await opened.mails();
  }
  const mails = await opened.mails("verify_email");

  const outcome = await tally([calls.verifyEmail(mails.at(-1)?.token ?? "", browser)]);

  assert.deepEqual([mails.length, outcome], [5, { ok: 1 }]);
});

test("RT-09: a new address takes effect when it is confirmed, and the old one is told and free", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerWithTotp(opened);
  const email = "alice@new.example.org";
  const byAddress = (name: string) =>
    tally([calls.login(name, { password: alice.password }, browser)]);

  const shown = await calls.updateProfile(alice.acting, { email }, browser);
  const before = await byAddress(email);
  const sent = (await opened.mails()).filter(({ kind }) => kind !== "factor_added").slice(1);
  await calls.verifyEmail(tokenOf(sent.find(({ to }) => to === email)?.link), browser);

  assert.equal(shown.email, alice.email);
  assert.deepEqual(before, { invalid_credentials: 1 });
  assert.deepEqual(sent.map(({ to, kind }) => `${kind} ${to}`).sort(), [
    `email_change_requested ${alice.email}`,
    `verify_email ${email}`,
  ]);
  assert.deepEqual(
    [await byAddress(email), await byAddress(alice.email)],
    [{ ok: 1 }, { invalid_credentials: 1 }],
  );
  assert.equal(
    (await registerAlice(calls, { username: "heir", email: alice.email })).email,
    alice.email,
  );
});

test("EN-03: a new address that is somebody else's is answered as a free one, and its owner is told", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const other = await registerAlice(calls, bob);
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));

  const taken = await calls.updateProfile(acting, { email: other.email }, browser);
  const free = await calls.updateProfile(
    await actAgain(calls, acting),
    { email: "free@example.org" },
    browser,
  );

  assert.deepEqual(taken, free);
  const told = (await opened.mails())
    .filter(({ to }) => to === other.email)
    .map(({ kind }) => kind);
  assert.deepEqual(told, ["verify_email", "address_in_use"]);
});

test("RT-10: a token speaks for the address it was sent to, not for one that is wanted or came after it", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const email = "new@example.org";
  const acting = await actingIn(calls, await logIn(calls, person));
  await calls.updateProfile(acting, { email }, browser);
  const mails = await opened.mails();
  const tokenTo = (address: string) =>
    mails.find(({ to, token }) => to === address && token !== undefined)?.token ?? "";

  const wanted = (await opened.account(person.id)).email;
  await calls.verifyEmail(tokenTo(email), browser);
  const late = await refusal(calls.verifyEmail(tokenTo(person.email), browser));
  const now = (await opened.account(person.id)).email;

  assert.deepEqual([wanted?.address, wanted?.verifiedAt], [person.email, undefined]);
  assert.equal(late, "invalid_mailed_token");
  assert.equal(now?.address, email);
});

test("RT-10: the address that an account has can be confirmed while another one is wanted, and only that", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const [{ token = "" } = {}] = await opened.mails("verify_email");
  const acting = await actingIn(calls, await logIn(calls, person));
  await calls.updateProfile(acting, { email: "new@example.org" }, browser);

  await calls.verifyEmail(token, browser);

  const { email } = await opened.account(person.id);
  assert.equal(email?.address, person.email);
  assert.ok(email.verifiedAt);
});

test("RT-09: an address that somebody else took meanwhile is not confirmed, and nothing changes", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  await calls.updateProfile(acting, { email: "wanted@example.org" }, browser);
  const mail = (await opened.mails()).find(({ to }) => to === "wanted@example.org");
  await registerAlice(calls, { username: "faster", email: "wanted@example.org" });

  const code = await refusal(calls.verifyEmail(mail?.token ?? "", browser));

  assert.equal(code, "invalid_mailed_token");
  assert.equal((await opened.account(person.id)).email?.address, person.email);
  assert.equal(
    (await calls.login(person.email, { password: person.password }, browser)).status,
    "complete",
  );
});

test("an unverified address logs in, unless the policy forbids it; then it is answered as a wrong password", async (t) => {
  const { calls, ...opened } = await openAuth(t, { policy: { verifiedToLogIn: true } });
  const person = await registerAlice(calls);
  const [{ token = "" } = {}] = await opened.mails("verify_email");

  const before = await tally([logIn(calls, person)]);
  await calls.verifyEmail(token, browser);

  assert.deepEqual(
    [before, await tally([logIn(calls, person)])],
    [{ invalid_credentials: 1 }, { ok: 1 }],
  );
});

const oldPassword = "a password from elsewhere";
const weak = { memoryCost: 4096, timeCost: 1, parallelism: 1 };
const foreign: readonly [string, () => Promise<string>][] = [
  ["bcrypt", () => bcrypt.hash(oldPassword, 4)],
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- a const enum of another module
  ["a weaker argon2id", () => argon2(oldPassword, { ...weak, algorithm: 2 as Algorithm })],
];
for (const [format, make] of foreign) {
  test(`PW-08, PW-09: an account imported with ${format} logs in, and its hash is today's after that`, async (t) => {
    const opened = await openAuth(t, { hashing: { hasher: createPasswordHasher() } });
    const { calls } = opened;
    const { id } = await calls.import({ ...bob, passwordHash: await make(), emailVerified: true });
    const credentials = { username: "bob", password: oldPassword };

    const both = await tally(atOnce(2, () => logIn(calls, credentials)));
    const { password, email } = await opened.account(id);

    assert.deepEqual(both, { ok: 2 });
    assert.match(password?.hash ?? "", /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.ok(email?.verifiedAt);
    assert.equal((await logIn(calls, credentials)).status, "complete");
  });
}

test("PW-09: a stored hash that nobody can read is a failed login, not a fault", async (t) => {
  const opened = await openAuth(t, { hashing: { hasher: createPasswordHasher() } });
  const { calls } = opened;
  const person = await registerAlice(calls);

  const outcomes: object[] = [];
  for (const hash of ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ"]) {
    await opened.tamper(person.id, { $set: { "password.hash": hash } });
    outcomes.push(await tally([logIn(calls, person)]));
  }

  const failed = { invalid_credentials: 1 };
  assert.deepEqual(outcomes, [failed, failed, failed]);
});

test("PW-09: an import with a hash that cannot be verified, or with a name that is taken, is refused and leaves nothing", async (t) => {
  const opened = await openAuth(t);
  const { calls, connection } = opened;
  await registerAlice(calls);

  const unreadable = await refusalOf(calls.import({ ...bob, passwordHash: "5f4dcc3b5aa765d6" }));
  const taken = await refusal(calls.import({ username: "alice", email: bob.email }));

  assert.deepEqual(
    [unreadable.code, unreadable.field, taken],
    ["invalid_input", "passwordHash", "name_taken"],
  );
  const [accounts, names] = await Promise.all(
    ["accounts", "identifiers"].map((name) =>
      connection.collection(`polyfactor_${name}`).countDocuments(),
    ),
  );
  assert.deepEqual([accounts, names], [1, 2]);
});

test("TO-07: a set-up that a newer one replaces while its code is checked is not confirmed", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const person = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, person));
  let meanwhile: () => Promise<unknown> = () => Promise.resolve();
  const slow = createAuth({ ...opened.options, store: withPause(opened, () => meanwhile()) });
  opened.beforeClose(() => slow.close());
  const { secret } = await calls.enrolTotp(acting, {}, browser);
  const prepared = await actAgain(calls, acting);
  meanwhile = () => calls.enrolTotp(prepared, { name: "newer" }, browser);

  const code = totpCode(secret, clock);
  const refused = await refusal(slow.tenant("main").confirmTotp(prepared, { code }, browser));

  const { totp, enrolment } = await opened.account(person.id);
  assert.deepEqual([refused, totp, enrolment?.name], ["invalid_code", undefined, "newer"]);
});

/** The same store, in which something happens before each commit on an account. */
function withPause({ options }: OpenedAuth, pause: () => Promise<unknown>): Store {
  const { store } = options;
  return {
    ...store,
    tenant(id) {
      const tenant = store.tenant(id);
      const commit: typeof tenant.accounts.commit = async (subject, wanted) => {
        await pause();
        return tenant.accounts.commit(subject, wanted);
      };
      return { ...tenant, accounts: { ...tenant.accounts, commit } };
    },
  };
}
