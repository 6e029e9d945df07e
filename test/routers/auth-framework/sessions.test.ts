import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce, totpCode } from "../../support/auth.ts";
import {
  alice,
  bob,
  challengeOf,
  enrol,
  logIn,
  logInWithApp,
  mailedToken,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
  type LoggedIn,
  type OpenedFamily,
} from "../../support/auth-framework.ts";

async function isLive(family: OpenedFamily, { access, refresh }: LoggedIn): Promise<boolean> {
  const read = await family.get("/auth/validate", { token: access });
  const renewed = await family.post("/auth/refresh", { refresh_token: refresh });
  assert.equal(read.status, renewed.status, "access and refresh token end together");
  return read.status === 200;
}

/** What ends the other sessions, by the session that acts. */
const endings: Readonly<
  Record<string, (family: OpenedFamily, acting: LoggedIn & { secret: string }) => Promise<unknown>>
> = {
  "a change of the password": (family, { access: token }) => {
    const body = { current_password: alice.password, new_password: bob.password };
    return family.post("/users/change-password", body, { token });
  },
  "switching the second factor off": (family, { access: token, secret }) => {
    const totp_code = totpCode(secret, family.clock);
    return family.post("/mfa/disable", { password: alice.password, totp_code }, { token });
  },
  "replacing the app": (family, acting) => enrol(family, acting),
};

for (const [event, act] of Object.entries(endings)) {
  test(`SE-08: ${event} ends every other session and keeps the one that acts`, async (t) => {
    const family = await openFamily(t);
    const acting = await registerEnrolled(family);
    const others = [await logInWithApp(family, acting), await logInWithApp(family, acting)];

    await act(family, acting);

    assert.equal(await isLive(family, acting), true);
    assert.deepEqual(
      [await isLive(family, others[0] as LoggedIn), await isLive(family, others[1] as LoggedIn)],
      [false, false],
    );
  });
}

test("SE-08: adding a first factor and new backup codes end no session, but pending logins", async (t) => {
  const family = await openFamily(t);
  const acting = await registerAndLogIn(family);
  const other = await logIn(family);
  const enrolled = await enrol(family, acting);
  const challenge = await challengeOf(family);

  await family.post("/mfa/regenerate-backup-codes", undefined, { token: acting.access });

  assert.equal(await isLive(family, other), true);
  const code = totpCode(enrolled.secret, family.clock);
  const { username, password } = alice;
  const second = { challenge_id: challenge, mfa_code: code };
  const { status } = await family.post("/auth/login", { username, password, ...second });
  assert.equal(status, 401);
});

test("SE-08, MT-03: a session ends one of the user's, and the tokens of that one end", async (t) => {
  const family = await openFamily(t);
  const mine = await registerAndLogIn(family);
  const other = await logIn(family);
  const { list } = await family.get("/users/sessions", { token: other.access });
  const own = (list as { id: string; is_current: boolean }[]).find((row) => row.is_current);

  await family.call("DELETE", `/users/sessions/${String(own?.id)}`, { token: mine.access });

  assert.deepEqual([await isLive(family, mine), await isLive(family, other)], [true, false]);
});

test("SE-10: a stored session has times, proofs and a short label, and no secret, code or counter of failures", async (t) => {
  const family = await openFamily(t);
  const userAgent = `Mozilla/5.0 ${"x".repeat(5000)}\u202e`;
  await register(family);
  const { username, password } = alice;
  const headers = { "user-agent": encodeURI(userAgent) };
  const { data } = await family.post("/auth/login", { username, password }, { headers });

  const { sessions = {} } = await family.account(data.user.id);
  const [entry] = Object.values(sessions);

  assert.deepEqual(Object.keys(entry ?? {}).sort(), [
    ...["createdAt", "expiresAt", "ip", "label", "proofs", "refresh", "seenAt"],
  ]);
  assert.ok(JSON.stringify(entry).length < 300);
  const stored = JSON.stringify(await family.account(data.user.id));
  assert.ok(!stored.includes(data.access_token) && !stored.includes(data.refresh_token));
});

test("SE-10: thirty sessions at most are kept, the one used longest ago goes first", async (t) => {
  const family = await openFamily(t);
  const first = await registerAndLogIn(family);
  const rest: LoggedIn[] = [];
  while (rest.length < 30) {
    family.clock.advance(1000);
    rest.push(await logIn(family));
  }

  const { list } = await family.get("/users/sessions", { token: rest.at(-1)?.access });

  assert.equal(list.length, 30);
  assert.equal(await isLive(family, first), false);
});

test("PW-11: a change needs the current password, and a fresh second factor where there is one", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerEnrolled(family);
  const change = (current_password: string) =>
    family.post(
      "/users/change-password",
      { current_password, new_password: bob.password },
      { token },
    );

  assert.equal((await change("wrong")).status, 400);
  family.clock.advance(901_000);
  assert.equal((await change(alice.password)).error.code, "MFA_REQUIRED");
});

test("PW-11: a change of the password ends other sessions, pending logins and mailed tokens", async (t) => {
  const family = await openFamily(t);
  const acting = await registerEnrolled(family);
  const other = await logInWithApp(family, acting);
  const challenge = await challengeOf(family);
  const token = await mailedToken(family, alice.email);
  const body = { current_password: alice.password, new_password: bob.password };

  const changed = await family.post("/users/change-password", body, { token: acting.access });

  assert.equal(changed.status, 200);
  assert.equal(await isLive(family, other), false);
  assert.equal((await family.post("/auth/verify-email", { token })).status, 400);
  const second = { challenge_id: challenge, mfa_code: totpCode(acting.secret, family.clock, 1) };
  for (const password of [alice.password, bob.password]) {
    const answer = await family.post("/auth/login", { username: "alice", password, ...second });
    assert.deepEqual([answer.status, answer.error.code], [401, "MFA_INVALID_CODE"]);
  }
});

test("PW-11: of fifty changes of one password at once one succeeds, and its password is the one that is stored", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const passwords = atOnce(50, (index) => Promise.resolve(`${bob.password} ${index}`));
  const next = await Promise.all(passwords);

  const answers = await Promise.all(
    next.map((new_password) =>
      family.post(
        "/users/change-password",
        { current_password: alice.password, new_password },
        { token },
      ),
    ),
  );

  const won = next.filter((_, at) => answers[at]?.status === 200);
  assert.equal(won.length, 1);
  assert.ok(answers.every(({ status }) => status < 500));
  family.clock.advance(1_000_000);
  await logIn(family, { username: "alice", password: won[0] ?? "" });
});
