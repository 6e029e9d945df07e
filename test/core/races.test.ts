import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import {
  actAgain,
  actingIn,
  atOnce,
  browser,
  enrolTotp,
  logIn,
  openAuth,
  registerAlice,
  registerWithTotp,
  sessionIn,
  submitCode,
  tally,
  ticketIn,
  totpCode,
} from "../support/auth.ts";
import {
  at,
  AT_ONCE,
  everyRound,
  inRounds,
  named,
  pendingLogins,
  twoInstances,
  winners,
} from "../support/races.ts";

test("TO-04, MC-05: one code and one ticket, fifty at a time, make exactly one session", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const ticket = ticketIn(await logIn(calls, person));
    const code = totpCode(person.secret, clock);
    const done = await tally(atOnce(AT_ONCE, () => submitCode(calls, ticket, code)));
    const { sessions = {} } = await opened.account(person.id);
    return { won: winners(done), newSessions: Object.keys(sessions).length - 1 };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, newSessions: 1 }));
});

test("TO-04: one code is accepted once, fifty at a time, over as many tickets as can live", async (t) => {
  const opened = await openAuth(t);
  const instances = twoInstances(opened);

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const tickets = await pendingLogins(opened.calls, person);
    const code = totpCode(person.secret, opened.clock);
    return tally(
      atOnce(AT_ONCE, (index) => submitCode(at(instances, index), at(tickets, index), code)),
    );
  });

  assert.deepEqual(outcomes.map(winners), everyRound(1));
});

test("TO-04: one code raises one session once, fifty at a time", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;

  const outcomes = await inRounds(async (username) => {
    const { secret, acting } = await registerWithTotp(opened, named(username));
    const submission = {
      choice: { methods: ["totp"] as const },
      proof: { code: totpCode(secret, clock) },
    };
    return tally(atOnce(AT_ONCE, () => calls.stepUp(acting, submission, browser)));
  });

  assert.deepEqual(outcomes.map(winners), everyRound(1));
});

test("TO-04, TO-11: fifty confirmations of one enrolment at once make one device", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const acting = await actingIn(calls, await logIn(calls, person));
    const { secret } = await calls.enrolTotp(acting, {}, browser);
    const prepared = await actAgain(calls, acting);
    const code = totpCode(secret, clock);
    const done = await tally(atOnce(AT_ONCE, () => calls.confirmTotp(prepared, { code }, browser)));
    const { totp = {} } = await opened.account(person.id);
    return { won: winners(done), devices: Object.keys(totp).length };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, devices: 1 }));
});

test("BC-03: a backup code works once, fifty at a time on two instances, and nine are left", async (t) => {
  const opened = await openAuth(t);
  const instances = twoInstances(opened);

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const tickets = await pendingLogins(opened.calls, person);
    const code = at(person.backupCodes, 0);
    const done = await tally(
      atOnce(AT_ONCE, (index) => submitCode(at(instances, index), at(tickets, index), code)),
    );
    const { backup } = await opened.account(person.id);
    return { won: winners(done), left: Object.keys(backup?.codes ?? {}).length };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, left: 9 }));
});

test("MC-05: one pending login gives one session, fifty at a time, though every code is a good one", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const ticket = ticketIn(await logIn(calls, person));
    const done = await tally(
      atOnce(AT_ONCE, (index) => submitCode(calls, ticket, at(person.backupCodes, index))),
    );
    const { sessions = {}, backup } = await opened.account(person.id);
    return {
      won: winners(done),
      newSessions: Object.keys(sessions).length - 1,
      left: Object.keys(backup?.codes ?? {}).length,
    };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, newSessions: 1, left: 9 }));
});

test("JW-13: without grace, fifty uses of one refresh token at once give one successor at most and end the session", async (t) => {
  const opened = await openAuth(t, { policy: { refreshGrace: 0 } });
  const { calls } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const session = sessionIn(await logIn(calls, person));
    const token = await calls.refreshToken(person.id, session);
    const done = await tally(
      atOnce(AT_ONCE, () => calls.refresh(token, { rotate: true }, browser)),
    );
    const { sessions = {} } = await opened.account(person.id);
    return { atMostOne: winners(done) <= 1, sessions: Object.keys(sessions).length };
  });

  assert.deepEqual(outcomes, everyRound({ atMostOne: true, sessions: 0 }));
});

test("JW-13: within the grace, fifty uses of one refresh token at once all name the same, single successor", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const session = sessionIn(await logIn(calls, person));
    const token = await calls.refreshToken(person.id, session);
    const answers = await Promise.all(
      atOnce(AT_ONCE, () => calls.refresh(token, { rotate: true }, browser)),
    );
    const successors = new Set(answers.map(({ refreshToken = "" }) => decodeJwt(refreshToken).gen));
    const { sessions = {} } = await opened.account(person.id);
    return { named: [...successors], stored: sessions[session.id]?.refresh };
  });

  assert.deepEqual(outcomes, everyRound({ named: [1], stored: 1 }));
});

test("MC-12, INV-6: of two devices one can be removed, fifty at a time, where policy wants a second factor", async (t) => {
  const opened = await openAuth(t, { policy: { secondFactor: "required" } });
  const { calls, clock } = opened;

  const outcomes = await inRounds(async (username) => {
    const { id, deviceId: first, acting } = await registerWithTotp(opened, named(username));
    const { deviceId: second } = await enrolTotp(calls, acting, { clock, name: "second" });
    const fresh = await actAgain(calls, acting);
    const done = await tally(
      atOnce(AT_ONCE, (index) =>
        calls.removeTotp(fresh, { deviceId: index % 2 === 0 ? first : second }, browser),
      ),
    );
    const { totp = {} } = await opened.account(id);
    return { won: winners(done), devices: Object.keys(totp).length };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, devices: 1 }));
});

test("PW-11: of fifty changes of one password at once, one happens, and its password is the one that logs in", async (t) => {
  const { calls } = await openAuth(t);
  const next = (index: number) => `a new password, the ${index}th of fifty`;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const acting = await actingIn(calls, await logIn(calls, person));
    const changes = atOnce(AT_ONCE, (index) =>
      calls.changePassword(acting, { current: person.password, next: next(index) }, browser),
    );
    const won = (await Promise.allSettled(changes)).flatMap(({ status }, index) =>
      status === "fulfilled" ? [index] : [],
    );
    const progress = await logIn(calls, { username, password: next(at(won, 0)) });
    return { won: won.length, then: progress.status };
  });

  assert.deepEqual(outcomes, everyRound({ won: 1, then: "complete" }));
});
