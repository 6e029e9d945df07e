import assert from "node:assert/strict";
import { test } from "node:test";
import {
  actingIn,
  atOnce,
  browser,
  logIn,
  openAuth,
  registerAlice,
  tally,
} from "../support/auth.ts";
import { at, AT_ONCE, everyRound, inRounds, named, ROUNDS, winners } from "../support/races.ts";

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
