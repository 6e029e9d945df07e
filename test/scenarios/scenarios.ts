import assert from "node:assert/strict";
import type {
  Held,
  Login,
  Person,
  Refusal,
  Scenario,
  ScenarioClient,
  Setup,
  World,
} from "./client.ts";

const alice: Person = {
  username: "alice",
  email: "alice@example.org",
  password: "seven quiet lanterns by the harbour",
};
const next = "nine loud trumpets on the mountain";

function sessionOf(login: Login): Held {
  assert.ok(login.state === "complete", `the login is complete: ${JSON.stringify(login)}`);
  return login.session;
}

function pendingOf(login: Login): Held {
  assert.ok(login.state === "pending", `the login is pending: ${JSON.stringify(login)}`);
  return login.pending;
}

function refusedFor(login: Login): string {
  assert.ok(login.state === "refused", `the login is refused: ${JSON.stringify(login)}`);
  return login.why;
}

function given<T extends object>(answer: T | Refusal): T {
  assert.ok(typeof answer === "object", "the answer is no refusal");
  return answer;
}

async function join(client: ScenarioClient): Promise<Held> {
  assert.equal(await client.register(alice), "done");
  return sessionOf(await client.login(alice));
}

/** Confirms an app; a step passes, so that its next code is unspent. */
async function addApp(client: ScenarioClient, world: World, session: Held): Promise<Setup> {
  const setup = given(await client.enrolTotp(session));
  assert.equal(await client.confirmTotp(session, world.appCode(setup.secret)), "done");
  world.wait(30);
  return setup;
}

async function joinWithApp(
  client: ScenarioClient,
  world: World,
): Promise<{ session: Held; setup: Setup }> {
  const session = await join(client);
  return { session, setup: await addApp(client, world, session) };
}

/** A whole login; a step passes, so that the next code is unspent. */
async function enter(client: ScenarioClient, world: World, { secret }: Setup): Promise<Held> {
  const pending = pendingOf(await client.login(alice));
  const session = sessionOf(await client.finishLogin(pending, world.appCode(secret)));
  world.wait(30);
  return session;
}

const joined = ["registration success", "login success", "session_start success"];
const withApp = [...joined, "enrolment_begin success", "factor_added success"];
const entered = [...withApp, "login success", "second_factor success", "session_start success"];

/** What every family lets a person do, and what none does. */
export const scenarios: readonly Scenario[] = [
  {
    title: "a person registers and logs in, and nobody else gets the name",
    trail: joined,
    async tell(client) {
      assert.equal(await client.register(alice), "done");
      const session = sessionOf(await client.login(alice));

      assert.equal(await client.isLive(session), true);
      assert.deepEqual(await client.status(session), { enabled: false, backupCodesLeft: 0 });
      const thief = { ...alice, email: "thief@example.org", password: next };
      assert.equal(await client.register(thief), "taken");
    },
  },
  {
    title: "a wrong password and an unknown name are refused alike",
    trail: [...joined, "login refused wrong_password", "login refused unknown_name"],
    async tell(client) {
      await join(client);

      const wrong = await client.login({ ...alice, password: next });
      const unknown = await client.login({ ...alice, username: "nobody" });

      assert.deepEqual([refusedFor(wrong), refusedFor(unknown)], ["wrong", "wrong"]);
    },
  },
  {
    title: "an authenticator app is asked for once it is confirmed, and not before",
    trail: [
      ...joined,
      "enrolment_begin success",
      "login success",
      "session_start success",
      "factor_added refused wrong",
      "factor_added success",
      "login success",
      "second_factor success",
      "session_start success",
    ],
    async tell(client, world) {
      const session = await join(client);
      const setup = given(await client.enrolTotp(session));
      assert.equal((await client.login(alice)).state, "complete");

      assert.equal(await client.confirmTotp(session, world.wrongCode(setup.secret)), "wrong");
      assert.equal(await client.confirmTotp(session, world.appCode(setup.secret)), "done");
      world.wait(30);

      const later = await enter(client, world, setup);
      assert.deepEqual(await client.status(later), { enabled: true, backupCodesLeft: 10 });
    },
  },
  {
    title: "a second set-up replaces the first one that was not confirmed",
    trail: [
      ...joined,
      "enrolment_begin success",
      "enrolment_begin success",
      "factor_added refused wrong",
      "factor_added success",
    ],
    async tell(client, world) {
      const session = await join(client);
      const first = given(await client.enrolTotp(session));
      const second = given(await client.enrolTotp(session));

      assert.equal(await client.confirmTotp(session, world.appCode(first.secret)), "wrong");
      assert.equal(await client.confirmTotp(session, world.appCode(second.secret)), "done");
    },
  },
  {
    title: "a code of the app is good once, and so is its confirmation",
    trail: [
      ...withApp,
      "login success",
      "second_factor refused replayed",
      "second_factor success",
      "session_start success",
      "login success",
      "second_factor refused replayed",
    ],
    async tell(client, world) {
      const session = await join(client);
      const { secret } = given(await client.enrolTotp(session));
      const code = world.appCode(secret);
      assert.equal(await client.confirmTotp(session, code), "done");

      const pending = pendingOf(await client.login(alice));
      assert.equal(refusedFor(await client.finishLogin(pending, code)), "wrong");
      world.wait(30);
      const fresh = world.appCode(secret);
      sessionOf(await client.finishLogin(pending, fresh));

      const again = pendingOf(await client.login(alice));
      assert.equal(refusedFor(await client.finishLogin(again, fresh)), "wrong");
    },
  },
  {
    title: "a login that is finished cannot be finished again, whatever the code",
    trail: [...entered, "second_factor refused gone"],
    async tell(client, world) {
      const { setup } = await joinWithApp(client, world);
      const pending = pendingOf(await client.login(alice));
      sessionOf(await client.finishLogin(pending, world.appCode(setup.secret)));
      world.wait(30);

      const again = await client.finishLogin(pending, world.appCode(setup.secret));

      assert.equal(refusedFor(again), "wrong");
    },
  },
  {
    title: "a login that waits too long for its second factor has ended",
    trail: [...withApp, "login success", "second_factor refused gone"],
    async tell(client, world) {
      const { setup } = await joinWithApp(client, world);
      const pending = pendingOf(await client.login(alice));
      world.wait(301);

      const late = await client.finishLogin(pending, world.appCode(setup.secret));

      assert.equal(refusedFor(late), "wrong");
    },
  },
  {
    title: "a backup code stands in for the app, once, and the owner is told",
    trail: [
      ...withApp,
      "login success",
      "second_factor success",
      "backup_code_used success recovery",
      "session_start success",
      "login success",
      "second_factor refused wrong",
    ],
    async tell(client, world) {
      const { setup } = await joinWithApp(client, world);
      const [code = ""] = setup.backupCodes;
      const pending = pendingOf(await client.login(alice));
      const session = sessionOf(await client.finishLogin(pending, code));

      assert.deepEqual(await client.status(session), { enabled: true, backupCodesLeft: 9 });
      const again = pendingOf(await client.login(alice));
      assert.equal(refusedFor(await client.finishLogin(again, code)), "wrong");
      assert.equal((await world.mailsTo(alice.email)).at(-1), "backup_code_used");
    },
  },
  {
    title: "what changes factors needs a fresh second factor, and a backup code gives one",
    trail: [
      ...withApp,
      "step_up refused step_up_required",
      "step_up refused wrong",
      "step_up success",
      "backup_code_used success recovery",
      "backup_codes_replaced success",
    ],
    async tell(client, world) {
      const { session, setup } = await joinWithApp(client, world);
      world.wait(16 * 60);
      assert.equal(await client.replaceBackupCodes(session), "second_factor");

      assert.equal(await client.useBackupCode(session, "ZZZZZZZZ"), "wrong");
      assert.equal(await client.useBackupCode(session, setup.backupCodes[0] ?? ""), "done");
      const codes = given(await client.replaceBackupCodes(session));

      assert.equal(new Set([...codes, ...setup.backupCodes]).size, 20);
      assert.deepEqual(await client.status(session), { enabled: true, backupCodesLeft: 10 });
    },
  },
  {
    title: "new backup codes end the old ones",
    trail: [
      ...withApp,
      "backup_codes_replaced success",
      "login success",
      "second_factor refused wrong",
      "second_factor success",
      "backup_code_used success recovery",
      "session_start success",
    ],
    async tell(client, world) {
      const { session, setup } = await joinWithApp(client, world);
      const codes = given(await client.replaceBackupCodes(session));
      const pending = pendingOf(await client.login(alice));

      const old = await client.finishLogin(pending, setup.backupCodes[0] ?? "");
      assert.equal(refusedFor(old), "wrong");
      sessionOf(await client.finishLogin(pending, codes[0] ?? ""));
    },
  },
  {
    title: "switching the second factor off takes password and code, and ends the other sessions",
    trail: [
      ...entered,
      "factor_removed refused wrong_password",
      "factor_removed refused wrong",
      "factor_removed success",
      "login success",
      "session_start success",
    ],
    async tell(client, world) {
      const { session, setup } = await joinWithApp(client, world);
      const other = await enter(client, world, setup);
      const { password } = alice;
      const code = world.appCode(setup.secret);

      assert.equal(await client.disable(session, { password: next, code }), "wrong");
      const wrong = { password, code: world.wrongCode(setup.secret) };
      assert.equal(await client.disable(session, wrong), "wrong");
      assert.equal(await client.disable(session, { password, code }), "done");

      assert.deepEqual(await client.status(session), { enabled: false, backupCodesLeft: 0 });
      assert.equal(await client.isLive(other), false);
      sessionOf(await client.login(alice));
    },
  },
  {
    title: "a new app takes the place of the old one, and ends the other sessions",
    trail: [
      ...entered,
      "enrolment_begin success",
      "factor_added success",
      "login success",
      "second_factor refused wrong",
      "second_factor success",
      "session_start success",
    ],
    async tell(client, world) {
      const { session, setup: old } = await joinWithApp(client, world);
      const other = await enter(client, world, old);
      const setup = await addApp(client, world, session);

      assert.equal(await client.isLive(other), false);
      const pending = pendingOf(await client.login(alice));
      const byOld = await client.finishLogin(pending, world.appCode(old.secret));
      assert.equal(refusedFor(byOld), "wrong");
      sessionOf(await client.finishLogin(pending, world.appCode(setup.secret)));
      assert.ok((await world.mailsTo(alice.email)).includes("factor_replaced"));
    },
  },
  {
    title:
      "a new password ends the other sessions and the old password, and keeps one's own session",
    trail: [
      ...joined,
      "login success",
      "session_start success",
      "password_change refused wrong_password",
      "password_change success",
      "login refused wrong_password",
      "login success",
      "session_start success",
    ],
    async tell(client, world) {
      const session = await join(client);
      const other = sessionOf(await client.login(alice));
      const { password: current } = alice;

      const wrong = await client.changePassword(session, { current: "not this one", next });
      assert.ok(["wrong", "invalid"].includes(wrong), wrong);
      assert.equal(await client.changePassword(session, { current, next }), "done");

      assert.equal(await client.isLive(session), true);
      assert.equal(await client.isLive(other), false);
      assert.equal(refusedFor(await client.login(alice)), "wrong");
      sessionOf(await client.login({ ...alice, password: next }));
      assert.equal((await world.mailsTo(alice.email)).at(-1), "password_changed");
    },
  },
  {
    title: "a session is kept going until it is logged out, and what kept it going ends with it",
    trail: [...joined, "token_refresh success", "session_end success"],
    async tell(client) {
      const session = await join(client);
      const renewed = sessionOf(await client.renew(session));
      assert.equal(await client.isLive(renewed), true);

      assert.equal(await client.logout(renewed), "done");

      assert.equal(await client.isLive(renewed), false);
      assert.equal(refusedFor(await client.renew(renewed)), "logged_out");
    },
  },
  {
    title: "one sees one's sessions and ends another one",
    trail: [...joined, "login success", "session_start success", "session_end success"],
    async tell(client) {
      const session = await join(client);
      const other = sessionOf(await client.login(alice));
      const listed = await client.sessions(session);
      const [foreign] = listed.filter(({ current }) => !current);

      assert.equal(listed.length, 2);
      assert.equal(await client.endSession(session, foreign?.id ?? ""), "done");
      assert.equal(await client.endSession(session, foreign?.id ?? ""), "missing");
      assert.equal(await client.isLive(other), false);
      assert.equal(await client.isLive(session), true);
    },
  },
  {
    title: "an address is confirmed by the mailed token, once",
    trail: [...joined, "email_verified success"],
    async tell(client, world) {
      const session = await join(client);
      const token = await world.mailedToken(alice.email);
      assert.equal((await client.address(session)).verified, false);

      assert.equal(await client.verifyEmail(token), "done");

      assert.deepEqual(await client.address(session), { email: alice.email, verified: true });
      assert.equal(await client.verifyEmail(token), "invalid");
    },
  },
  {
    title: "a new address counts once it is confirmed from there, and both addresses are told",
    trail: [
      ...joined,
      "email_change_requested success",
      "profile_change success",
      "email_verified success",
    ],
    async tell(client, world) {
      const session = await join(client);
      const email = "alice@new.example.org";

      assert.equal(await client.changeEmail(session, email), "done");
      assert.equal((await client.address(session)).email, alice.email);
      assert.equal(await client.verifyEmail(await world.mailedToken(email)), "done");

      assert.deepEqual(await client.address(session), { email, verified: true });
      assert.deepEqual((await world.mailsTo(alice.email)).slice(1), [
        "email_change_requested",
        "email_changed",
      ]);
    },
  },
  {
    title:
      "five wrong codes make the right one wait, and the owner is told that somebody has the password",
    trail: [
      ...withApp,
      "login success",
      "login success",
      "second_factor refused wrong",
      "second_factor refused wrong",
      "second_factor refused wrong",
      "second_factor refused wrong",
      "second_factor refused wrong",
      "second_factor refused too_many_attempts",
      "second_factor success",
      "session_start success",
    ],
    async tell(client, world) {
      const { setup } = await joinWithApp(client, world);
      const pending = pendingOf(await client.login(alice));
      const again = pendingOf(await client.login(alice));
      for (const wrong of Array.from({ length: 5 }, () => world.wrongCode(setup.secret))) {
        assert.equal(refusedFor(await client.finishLogin(pending, wrong)), "wrong");
      }
      const code = world.appCode(setup.secret);

      assert.equal(refusedFor(await client.finishLogin(again, code)), "later");
      world.wait(2);
      sessionOf(await client.finishLogin(again, code));
      assert.ok((await world.mailsTo(alice.email)).includes("second_factor_failures"));
    },
  },
  {
    title: "five wrong passwords make the right one wait",
    trail: [
      ...joined,
      "login refused wrong_password",
      "login refused wrong_password",
      "login refused wrong_password",
      "login refused wrong_password",
      "login refused wrong_password",
      "login refused too_many_attempts",
      "login success",
      "session_start success",
    ],
    async tell(client, world) {
      await join(client);
      for (const password of Array.from({ length: 5 }, () => next)) {
        assert.equal(refusedFor(await client.login({ ...alice, password })), "wrong");
      }

      assert.equal(refusedFor(await client.login(alice)), "later");
      world.wait(2);
      sessionOf(await client.login(alice));
    },
  },
  {
    title: "a disabled account is out at once, and cannot come back",
    trail: [
      ...joined,
      "administration unknown disable",
      "administration success disable",
      "login refused disabled",
    ],
    async tell(client, world) {
      const session = await join(client);

      await world.disableAccount(alice);

      assert.equal(await client.isLive(session), false);
      assert.equal(refusedFor(await client.renew(session)), "logged_out");
      assert.equal(refusedFor(await client.login(alice)), "wrong");
    },
  },
  {
    title:
      "where a second factor is mandatory, a session without one can only set it up, and the last one stays",
    mandatory: true,
    trail: [
      ...joined,
      "step_up refused enrolment_required",
      "enrolment_begin success",
      "factor_added success",
      "factor_removed refused last_factor",
    ],
    async tell(client, world) {
      const session = await join(client);
      const { password } = alice;
      const change = { current: password, next };
      assert.equal(await client.changePassword(session, change), "must_enrol");

      const { secret } = await addApp(client, world, session);

      assert.equal((await client.sessions(session)).length, 1);
      const proof = { password, code: world.appCode(secret) };
      assert.equal(await client.disable(session, proof), "mandatory");
      assert.deepEqual(await client.status(session), { enabled: true, backupCodesLeft: 10 });
    },
  },
];
