import assert from "node:assert/strict";
import { test } from "node:test";
import { createPasswordHasher } from "../../lib/index.ts";
import {
  atOnce,
  logIn,
  openAuth,
  registerAlice,
  registerWithTotp,
  submitCode,
  tally,
  totpCode,
  wrongCode,
} from "../support/auth.ts";
import { countingHasher } from "../support/hasher.ts";
import {
  at,
  AT_ONCE,
  everyRound,
  inRounds,
  named,
  pendingLogins,
  twoInstances,
} from "../support/races.ts";

/** Rounds of two hundred requests at once. */
const FLOODS = 5;

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
  }, FLOODS);

  assert.deepEqual(
    outcomes,
    everyRound({ evaluated: 5, fails: 5, then: { too_many_attempts: 1 } }, FLOODS),
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
  }, FLOODS);

  assert.deepEqual(
    outcomes,
    everyRound({ invalid_credentials: 5, too_many_attempts: 195, evaluated: 5 }, FLOODS),
  );
});

test("TH-02, INV-3: of two hundred wrong codes at once over ten tickets, five are evaluated, and then the right one is refused", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const instances = twoInstances(opened);

  const outcomes = await inRounds(async (username) => {
    const person = await registerWithTotp(opened, named(username));
    const tickets = await pendingLogins(calls, person);
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
  }, FLOODS);

  assert.deepEqual(
    outcomes,
    everyRound({ evaluated: 5, fails: [5, 5], tries: 5, then: { too_many_attempts: 1 } }, FLOODS),
  );
});
