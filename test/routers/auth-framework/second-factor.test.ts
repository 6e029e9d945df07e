import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import { atOnce, totpCode, wrongCode } from "../../support/auth.ts";
import {
  alice,
  bob,
  challengeOf,
  enrol,
  finishLogin,
  logIn,
  logInWithApp,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
  type OpenedFamily,
} from "../../support/auth-framework.ts";

const protectedReads = [
  "/auth/validate",
  "/users/profile",
  "/users/me",
  "/users/sessions",
  "/mfa/status",
];

test("MC-01, MC-09: what a right password gives before the code opens nothing, alone or together", async (t) => {
  const family = await openFamily(t);
  await registerEnrolled(family);
  const { username, password } = alice;
  const answer = await family.post("/auth/login", { username, password });
  const challenge = String(answer.error.details?.challenge_id);

  assert.equal(answer.headers.get("set-cookie"), null);
  assert.doesNotMatch(answer.text, /eyJ|access_token|refresh_token/);
  const tokens = [
    challenge,
    challenge.slice(4),
    Buffer.from(challenge.slice(4), "base64url").toString(),
  ];
  for (const token of tokens.map((text) => text.replaceAll("\n", "."))) {
    for (const path of protectedReads) {
      assert.equal((await family.get(path, { token })).status, 401, path);
    }
    assert.equal((await family.post("/auth/refresh", { refresh_token: token })).status, 401);
    assert.notEqual((await family.post("/auth/verify-email", { token })).status, 200);
  }
});

test("MC-02: a challenge is a random secret of 32 bytes, is stored only as a digest and lives five minutes", async (t) => {
  const family = await openFamily(t);
  const { id, secret } = await registerEnrolled(family);
  const [challenge, other] = [await challengeOf(family), await challengeOf(family)];
  const [, , inner = ""] = Buffer.from(challenge.slice(4), "base64url").toString().split("\n");

  assert.equal(Buffer.from(inner, "base64url").length, 32);
  assert.notEqual(challenge, other);
  assert.ok(!JSON.stringify(await family.account(id)).includes(inner));
  family.clock.advance(299_999);
  const late = totpCode(secret, family.clock);
  assert.equal((await finishLogin(family, { challenge, code: late })).status, 200);
  family.clock.advance(1);
  const again = await finishLogin(family, {
    challenge: other,
    code: totpCode(secret, family.clock, 1),
  });
  assert.equal(again.status, 401);
});

test("MC-03: whose login it is comes from the challenge; other names and ids in the body change nothing", async (t) => {
  const family = await openFamily(t);
  const first = await registerEnrolled(family);
  const second = await registerEnrolled(family, bob);
  const challenge = await challengeOf(family);
  const code = totpCode(second.secret, family.clock);

  const foreign = await family.post("/auth/login", {
    ...{ username: "bob", password: bob.password },
    ...{ challenge_id: challenge, mfa_code: code },
  });
  const named = await family.post("/auth/login", {
    ...{ username: "alice", password: alice.password, challenge_id: challenge },
    ...{ mfa_code: totpCode(first.secret, family.clock) },
    ...{ user_id: second.id, user: second.id, sub: second.id, email: bob.email },
  });

  assert.deepEqual([foreign.status, foreign.error.code], [401, "MFA_INVALID_CODE"]);
  assert.equal(named.data.user.id, first.id);
  assert.equal(Object.keys((await family.account(second.id)).sessions ?? {}).length, 1);
});

const endings: Readonly<
  Record<
    string,
    (
      family: OpenedFamily,
      session: { id: string; access: string; secret: string },
    ) => Promise<unknown>
  >
> = {
  "a change of the password": (family, { access: token }) =>
    family.post(
      "/users/change-password",
      { current_password: alice.password, new_password: alice.password.toUpperCase() },
      { token },
    ),
  "new backup codes": (family, { access: token }) =>
    family.post("/mfa/regenerate-backup-codes", undefined, { token }),
  "another app": (family, session) => enrol(family, { ...session, refresh: "" }),
  "switching the account off": (family, { id }) => family.calls.disable(id),
  "the operator's ending of all sessions": (family, { id }) => family.calls.endSessions(id),
  "the operator's reset of the factors": (family, { id }) => family.calls.resetFactors(id),
};

for (const [event, end] of Object.entries(endings)) {
  test(`MC-04, MC-07: a pending login does not survive ${event}`, async (t) => {
    const family = await openFamily(t);
    const enrolled = await registerEnrolled(family);
    const challenge = await challengeOf(family);

    await end(family, enrolled);

    const person = { ...alice };
    for (const password of [alice.password, alice.password.toUpperCase()]) {
      const code = totpCode(enrolled.secret, family.clock, 1);
      const answer = await finishLogin(family, {
        challenge,
        code,
        person: { ...person, password },
      });
      assert.deepEqual([answer.status, answer.error.code], [401, "MFA_INVALID_CODE"]);
    }
  });
}

test("MC-05: fifty right second steps of one login at once open one session, the rest are refused alike", async (t) => {
  const family = await openFamily(t);
  const { id, secret } = await registerEnrolled(family);
  const challenge = await challengeOf(family);
  const code = totpCode(secret, family.clock);
  const before = Object.keys((await family.account(id)).sessions ?? {}).length;

  const answers = await Promise.all(atOnce(50, () => finishLogin(family, { challenge, code })));

  const won = answers.filter(({ status }) => status === 200);
  const lost = answers.filter(({ status }) => status !== 200);
  assert.equal(won.length, 1);
  assert.deepEqual(
    [...new Set(lost.map(({ status }) => status))].filter((status) => ![401, 429].includes(status)),
    [],
  );
  assert.equal(Object.keys((await family.account(id)).sessions ?? {}).length, before + 1);
});

test("MC-06: a new challenge does not bring a new budget", async (t) => {
  const family = await openFamily(t);
  const { secret } = await registerEnrolled(family);
  const challenges: string[] = [];
  while (challenges.length < 5) challenges.push(await challengeOf(family));
  const code = wrongCode(secret, family.clock);

  for (const challenge of challenges) {
    assert.equal((await finishLogin(family, { challenge, code })).status, 401);
  }

  const right = totpCode(secret, family.clock);
  const [challenge = ""] = challenges;
  assert.equal((await finishLogin(family, { challenge, code: right })).status, 429);
});

test("MC-08: whether a second factor is asked for comes from the live factors, not from a flag", async (t) => {
  const family = await openFamily(t);
  const { id } = await registerEnrolled(family);

  await family.tamper(id, { $set: { mfaEnabled: false, mfa_enabled: false, enabled: false } });

  await challengeOf(family);
});

test("MC-09: no door leads past the second factor: address, remember_me, refresh, registration, confirmed address", async (t) => {
  const family = await openFamily(t);
  await registerEnrolled(family);
  const { email, password, username } = alice;
  const [mail] = await family.mails("verify_email");

  const answers = [
    await family.post("/auth/login", { username: email, password }),
    await family.post("/auth/login", { username, password, remember_me: true }),
    await family.post("/auth/login", { username, password, challenge_id: "", mfa_code: null }),
    await family.post("/auth/verify-email", { token: mail?.token }),
    await family.post("/auth/register", alice),
  ];

  for (const { text, status } of answers) {
    assert.doesNotMatch(text, /access_token|refresh_token/, String(status));
  }
});

test("MC-10, JW-12: a second factor within a session raises it for the same token, and renewal copies what it rests on", async (t) => {
  const family = await openFamily(t);
  const { access: token, refresh, backupCodes } = await registerEnrolled(family);
  const renew = async () => {
    const { data } = await family.post("/auth/refresh", { refresh_token: refresh });
    const { sid, amr, acr, auth_time } = decodeJwt(data.access_token);
    return { sid, amr, acr, auth_time };
  };
  const before = await renew();
  family.clock.advance(3_000_000);

  const use = { backup_code: backupCodes[0] };
  assert.equal((await family.post("/mfa/verify-backup-code", use, { token })).status, 200);
  const now = Math.floor(family.clock.clock().getTime() / 1000);
  family.clock.advance(60_000);
  const after = await renew();

  assert.deepEqual(after, { ...before, auth_time: now, amr: ["pwd", "otp", "mfa"], acr: "aal2" });
});

test("JW-12: amr, acr and auth_time tell how each login went", async (t) => {
  const family = await openFamily(t);
  const plain = await registerAndLogIn(family);
  const now = () => Math.floor(family.clock.clock().getTime() / 1000);
  const told = (token: string) => {
    const { amr, acr, auth_time } = decodeJwt(token);
    return { amr, acr, auth_time };
  };
  assert.deepEqual(told(plain.access), { amr: ["pwd"], acr: "aal1", auth_time: now() });

  const { secret, backupCodes } = await enrol(family, plain);
  const at = now();
  const byApp = await logInWithApp(family, { secret });
  assert.deepEqual(told(byApp.access), { amr: ["pwd", "otp", "mfa"], acr: "aal2", auth_time: at });
  const byPaper = await finishLogin(family, {
    challenge: await challengeOf(family),
    code: backupCodes[0] ?? "",
  });
  assert.deepEqual(told(byPaper.data.access_token), {
    ...{ amr: ["pwd", "otp", "mfa"], acr: "aal2", auth_time: now() },
  });
});

test("JW-12: a renewal after an hour of silence tells the lower level, never a higher one", async (t) => {
  const family = await openFamily(t);
  const { secret } = await registerEnrolled(family);
  const { refresh } = await logInWithApp(family, { secret });
  const acr = async () => {
    const { data } = await family.post("/auth/refresh", { refresh_token: refresh });
    return decodeJwt(data.access_token).acr;
  };

  const early = await acr();
  family.clock.advance(3_600_001);

  assert.deepEqual([early, await acr()], ["aal2", "aal1"]);
});

const shapes: readonly unknown[] = [
  "050471\n",
  " 050471",
  "050471 ",
  "050 471",
  "050-471",
  "０５０４７１",
  "+50471",
  "5.0471e4",
  "-50471",
  "0x1234",
  "05047",
  "0504711",
  "",
  "\u0000050471",
  "x".repeat(10_000),
  50471,
  ["050471"],
  { code: "050471" },
  { $ne: null },
  null,
  true,
];

test("TO-05: a code is exactly six ASCII digits; every other shape is 400, costs nothing and never fails us", async (t) => {
  const family = await openFamily(t);
  const { id, access: token } = await registerEnrolled(family);
  await family.post("/mfa/setup", undefined, { token });
  const challenge = await challengeOf(family);
  const { password, username } = alice;

  for (const code of shapes) {
    const name = JSON.stringify(code).slice(0, 30);
    const answers = [
      await family.post("/mfa/verify", { totp_code: code }, { token }),
      await family.post("/mfa/disable", { password, totp_code: code }, { token }),
      ...(code === null || code === ""
        ? []
        : [
            await family.post("/auth/login", {
              username,
              password,
              challenge_id: challenge,
              mfa_code: code,
            }),
          ]),
    ];
    for (const { status, error } of answers) {
      assert.deepEqual([status, error.code], [400, "VALIDATION_ERROR"], name);
    }
  }
  const { budgets } = await family.account(id);
  assert.deepEqual([budgets?.code?.fails, budgets?.second?.fails], [0, 0]);
});

test("TO-05: a spent code is not revived by spaces around it", async (t) => {
  const family = await openFamily(t);
  const { secret } = await registerEnrolled(family);
  const code = totpCode(secret, family.clock);
  const first = await finishLogin(family, { challenge: await challengeOf(family), code });
  assert.equal(first.status, 200);

  for (const again of [code, ` ${code}`, `${code} `, code.replace(/^.../, "$& ")]) {
    const challenge = await challengeOf(family);
    const { status } = await finishLogin(family, { challenge, code: again });
    assert.ok([400, 401].includes(status), again);
  }
});

test("TO-07: what is not confirmed is asked for nowhere, opens nothing and replaces nothing", async (t) => {
  const family = await openFamily(t);
  const session = await registerEnrolled(family);
  const { access: token, secret } = session;
  const { data: pending } = await family.post("/mfa/setup", undefined, { token });
  const challenge = await challengeOf(family);
  const use = (code: string) => finishLogin(family, { challenge, code });

  assert.equal((await use(totpCode(pending.secret, family.clock))).status, 401);
  assert.equal((await use(pending.backup_codes[0] ?? "")).status, 401);
  assert.equal((await use(totpCode(secret, family.clock))).status, 200);
});

test("TO-07: the confirmation takes a code of the newest set-up alone", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const first = await family.post("/mfa/setup", undefined, { token });
  const second = await family.post("/mfa/setup", undefined, { token });
  const verify = (secret: string) =>
    family.post("/mfa/verify", { totp_code: totpCode(secret, family.clock) }, { token });

  assert.equal((await verify(first.data.secret)).status, 400);
  assert.equal((await verify(second.data.secret)).status, 200);
});

test("TO-09, LG-02: the seed and the backup codes are in one answer, and then nowhere: no answer, log, trail or mail", async (t) => {
  const family = await openFamily(t);
  const { id, access: token, secret, backupCodes } = await registerEnrolled(family);
  const reads = ["/mfa/status", "/users/profile", "/users/me", "/users/sessions", "/auth/validate"];
  const texts = await Promise.all(
    reads.map(async (path) => (await family.get(path, { token })).text),
  );
  const all = JSON.stringify([
    texts,
    await family.auditEvents(),
    await family.mails(),
    await family.account(id),
  ]);

  for (const shown of [secret, ...backupCodes]) assert.ok(!all.includes(shown));
});

test("BC-04: new backup codes end the old set in the same write, even while an old one is used", async (t) => {
  const family = await openFamily(t);
  const { access: token, backupCodes } = await registerEnrolled(family);
  const [old = "", spare = ""] = backupCodes;

  const [used, renewed] = await Promise.all([
    family.post("/mfa/verify-backup-code", { backup_code: old }, { token }),
    family.post("/mfa/regenerate-backup-codes", undefined, { token }),
  ]);

  assert.ok([200, 400].includes(used.status), used.text);
  const works = async (backup_code: string) =>
    (await family.post("/mfa/verify-backup-code", { backup_code }, { token })).status === 200;
  assert.ok([200, 409].includes(renewed.status), renewed.text);
  const replaced = renewed.status === 200;
  assert.equal(await works(spare), !replaced);
  if (replaced) assert.ok(await works(String(renewed.list[0])));
});

test("BC-06: the use of a backup code is mailed and flagged, its failures count apart from the app's", async (t) => {
  const family = await openFamily(t);
  const { id, access: token, backupCodes } = await registerEnrolled(family);
  const use = (backup_code: string) =>
    family.post("/mfa/verify-backup-code", { backup_code }, { token });

  await use("ZZZZZZZZ");
  const { budgets } = await family.account(id);
  assert.deepEqual([budgets?.backup?.fails, budgets?.code?.fails], [1, 0]);
  await use(backupCodes[0] ?? "");

  const [mail] = await family.mails("backup_code_used");
  assert.match(String(mail?.text), /9 are left/);
  const flagged = (await family.auditEvents()).filter(({ type }) => type === "backup_code_used");
  assert.deepEqual(
    flagged.map(({ account, reason }) => ({ account, reason })),
    [{ account: id, reason: "recovery" }],
  );
  assert.equal((await family.get("/mfa/status", { token })).data.backup_codes_remaining, 9);
});

test("PW-11, MC-12: of fifty switch-offs at once one succeeds", async (t) => {
  const family = await openFamily(t);
  const { access: token, secret } = await registerEnrolled(family);
  const proof = { password: alice.password, totp_code: totpCode(secret, family.clock) };

  const answers = await Promise.all(
    atOnce(50, () => family.post("/mfa/disable", proof, { token })),
  );

  assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  assert.ok(answers.every(({ status }) => status < 500));
  await logIn(family);
});

test("an unlisted second factor is still asked for, and cannot be given here", async (t) => {
  const family = await openFamily(t);
  const other = await openFamily(t, { only: ["password"], auth: family.options });
  const { secret } = await registerEnrolled(family);
  const challenge = await challengeOf(other);

  const code = totpCode(secret, family.clock);
  const refused = await finishLogin(other, { challenge, code });

  assert.deepEqual([refused.status, refused.error.code], [401, "MFA_INVALID_CODE"]);
  assert.equal((await finishLogin(family, { challenge, code })).status, 200);
  await register(family, bob);
});
