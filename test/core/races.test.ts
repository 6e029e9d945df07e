import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { createAuth, createPasswordHasher, type Calls } from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
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
  wrongCode,
  type OpenedAuth,
} from "../support/auth.ts";
import { countingHasher } from "../support/hasher.ts";

const ROUNDS = 20;
const AT_ONCE = 50;
/** As many pending logins as one account can have at a time. */
const LIVE_TICKETS = 10;

/** The same race again and again, each time on an account of its own. */
async function inRounds<T>(race: (username: string) => Promise<T>): Promise<readonly T[]> {
  const outcomes: T[] = [];
  for (let round = 0; round < ROUNDS; round += 1) outcomes.push(await race(`racer-${round}`));
  return outcomes;
}

function everyRound<T>(outcome: T): T[] {
  return Array.from({ length: ROUNDS }, () => outcome);
}

const winners = ({ ok = 0 }: Readonly<Record<string, number>>): number => ok;

const named = (username: string) => ({ username, email: `${username}@example.org` });

async function pendingLogins(
  calls: Calls,
  person: { username: string; password: string },
  count: number,
): Promise<readonly string[]> {
  const tickets: string[] = [];
  while (tickets.length < count) tickets.push(ticketIn(await logIn(calls, person)));
  return tickets;
}

const at = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;

/** Two processes of one app: two instances on the same database. */
function twoInstances({ calls, options, connection, beforeClose }: OpenedAuth): [Calls, Calls] {
  const second = createAuth({ ...options, store: mongooseStore(connection) });
  beforeClose(() => second.close());
  return [calls, second.tenant("main")];
}

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
    const tickets = await pendingLogins(opened.calls, person, LIVE_TICKETS);
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
    const tickets = await pendingLogins(opened.calls, person, LIVE_TICKETS);
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

for (const { contested, registration } of [
  {
    contested: "user name under different addresses",
    registration: (username: string, index: number) => ({
      username,
      email: `${username}-${index}@example.org`,
    }),
  },
  {
    contested: "address under different user names",
    registration: (username: string, index: number) => ({
      username: `${username}-${index}`,
      email: `${username}@example.org`,
    }),
  },
  {
    contested: "user name and address",
    registration: (username: string) => named(username),
  },
]) {
  test(`C-8, FT-08: one ${contested} is registered once, fifty at a time, and nothing is left of the losers`, async (t) => {
    const opened = await openAuth(t);
    const { calls, connection } = opened;

    const outcomes = await inRounds(async (username) => {
      const wanted = atOnce(AT_ONCE, (index) =>
        registerAlice(calls, registration(username, index)),
      );
      const done = await tally(wanted);
      const won = (await Promise.allSettled(wanted)).flatMap((outcome) =>
        outcome.status === "fulfilled" ? [outcome.value] : [],
      );
      const logins = await Promise.all(won.map((person) => logIn(calls, person)));
      return { done, logins: logins.length };
    });

    assert.deepEqual(outcomes, everyRound({ done: { ok: 1, name_taken: 49 }, logins: 1 }));
    const accounts = await connection.collection("polyfactor_accounts").countDocuments();
    const names = await connection.collection("polyfactor_identifiers").countDocuments();
    assert.deepEqual({ accounts, names }, { accounts: ROUNDS, names: 2 * ROUNDS });
  });
}

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
    const named_ = new Set(answers.map(({ refreshToken = "" }) => decodeJwt(refreshToken).gen));
    const { sessions = {} } = await opened.account(person.id);
    return { named: [...named_], stored: sessions[session.id]?.refresh };
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

test("PW-12: fifty honest logins of one account at once are all let in", async (t) => {
  // The real hasher at its cheapest, so that logins overlap as they would in an app.
  const hasher = createPasswordHasher({ memoryCost: 12_288, timeCost: 3 });
  const opened = await openAuth(t, { hashing: { hasher } });

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(opened.calls, named(username));
    const done = await tally(atOnce(AT_ONCE, () => logIn(opened.calls, person)));
    const { budgets } = await opened.account(person.id);
    return { ...done, fails: budgets?.password?.fails };
  });

  assert.deepEqual(outcomes, everyRound({ ok: AT_ONCE, fails: 0 }));
});

test("TH-02, INV-3: of two hundred wrong passwords at once, five are evaluated, and then the right one is refused", async (t) => {
  const hasher = countingHasher();
  const opened = await openAuth(t, { hashing: { hasher, queue: 200 } });
  const instances = twoInstances(opened);

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(opened.calls, named(username));
    const before = hasher.verified;
    await tally(
      atOnce(200, (index) =>
        logIn(at(instances, index), { username, password: `a wrong password ${index}` }),
      ),
    );
    const { budgets } = await opened.account(person.id);
    const evaluated = hasher.verified - before;
    return {
      evaluated,
      fails: budgets?.password?.fails,
      then: await tally([logIn(opened.calls, person)]),
    };
  });

  assert.deepEqual(
    outcomes,
    everyRound({ evaluated: 5, fails: 5, then: { too_many_attempts: 1 } }),
  );
});

test("TH-02, EN-04: of two hundred passwords at once for a name that nobody has, five are evaluated", async (t) => {
  const hasher = countingHasher();
  const opened = await openAuth(t, { hashing: { hasher, queue: 200 } });

  const outcomes = await inRounds(async (username) => {
    const before = hasher.verified;
    const guesses = atOnce(200, (index) =>
      logIn(opened.calls, { username, password: `a password for nobody ${index}` }),
    );
    return { ...(await tally(guesses)), evaluated: hasher.verified - before };
  });

  assert.deepEqual(
    outcomes,
    everyRound({ invalid_credentials: 5, too_many_attempts: 195, evaluated: 5 }),
  );
});

test("TH-02, INV-3: of two hundred wrong codes at once over ten tickets, five are evaluated, and then the right one is refused", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const instances = twoInstances(opened);

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const tickets = await pendingLogins(calls, person, LIVE_TICKETS);
    const wrong = wrongCode(person.secret, clock);
    const done = await tally(
      atOnce(200, (index) => submitCode(at(instances, index), at(tickets, index), wrong)),
    );
    const { budgets, pending = {} } = await opened.account(person.id);
    const tries = Object.values(pending).reduce((sum, login) => sum + login.tries, 0);
    const right = totpCode(person.secret, clock);
    return {
      evaluated: done.invalid_code,
      fails: [budgets?.second?.fails, budgets?.code?.fails],
      tries,
      then: await tally([submitCode(calls, at(tickets, 0), right)]),
    };
  });

  assert.deepEqual(
    outcomes,
    everyRound({ evaluated: 5, fails: [5, 5], tries: 5, then: { too_many_attempts: 1 } }),
  );
});

test("RT-03: a mailed token verifies its address once, fifty at a time", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const { token = "" } = at(
      (await opened.mails("verify_email")).filter(({ to }) => to === person.email),
      0,
    );
    return tally(atOnce(AT_ONCE, () => calls.verifyEmail(token, browser)));
  });

  assert.deepEqual(outcomes, everyRound({ ok: 1, invalid_mailed_token: 49 }));
});

test("INV-7: an address that is confirmed fifty times at once is the account's, and stays nobody else's", async (t) => {
  const opened = await openAuth(t);
  const { calls, outbox } = opened;

  const outcomes = await inRounds(async (username) => {
    const person = await registerAlice(calls, named(username));
    const acting = await actingIn(calls, await logIn(calls, person));
    const email = `new-${username}@example.org`;
    await calls.updateProfile(acting, { email }, browser);
    await opened.mails();
    const { token = "" } = at(
      outbox.messages.filter(({ to }) => to === email),
      0,
    );
    const done = await tally(atOnce(AT_ONCE, () => calls.verifyEmail(token, browser)));
    const by = await tally([calls.login(email, { password: person.password }, browser)]);
    const stolen = await tally([registerAlice(calls, { username: `${username}-thief`, email })]);
    return { won: winners(done), byNewAddress: by, stolen };
  });

  assert.deepEqual(
    outcomes,
    everyRound({ won: 1, byNewAddress: { ok: 1 }, stolen: { name_taken: 1 } }),
  );
});

test("RT-09: of two accounts that confirm one new address at once, one gets it", async (t) => {
  const opened = await openAuth(t);
  const { calls, outbox } = opened;

  const outcomes = await inRounds(async (username) => {
    const email = `wanted-by-two-${username}@example.org`;
    for (const one of [`${username}-a`, `${username}-b`]) {
      const person = await registerAlice(calls, named(one));
      const acting = await actingIn(calls, await logIn(calls, person));
      await calls.updateProfile(acting, { email }, browser);
    }
    await opened.mails();
    const tokens = outbox.messages.filter(({ to }) => to === email).map(({ token = "" }) => token);
    return tally(tokens.map((token) => calls.verifyEmail(token, browser)));
  });

  assert.deepEqual(outcomes, everyRound({ ok: 1, invalid_mailed_token: 1 }));
});
