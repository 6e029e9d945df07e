import assert from "node:assert/strict";
import { test } from "node:test";
import { totpCode, wrongCode } from "../../support/auth.ts";
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
  type Answer,
  type OpenedFamily,
} from "../../support/auth-framework.ts";

/** What this family says of a refusal: status, code and words. */
function said({ status, error }: Answer): readonly [number, string, string] {
  return [status, error.code, error.message];
}

const missing = [401, "MISSING_TOKEN", "Authentication required"] as const;
const invalid = [401, "INVALID_TOKEN", "Invalid or expired token"] as const;
const credentials = [401, "INVALID_CREDENTIALS", "Invalid username or password"] as const;
const badChallenge = [401, "MFA_INVALID_CODE", "Invalid or expired MFA challenge or code"] as const;
const wrongTotp = [400, "MFA_INVALID_CODE", "Invalid TOTP code"] as const;
const notEnabled = [400, "MFA_NOT_ENABLED", "MFA is not enabled for this account"] as const;
const stepUp = [401, "MFA_REQUIRED", "Log in again with your second factor"] as const;
const locked = [
  429,
  "ACCOUNT_LOCKED",
  "Too many failed login attempts. Please try again later.",
] as const;

const protectedRoutes: readonly [string, string][] = [
  ["POST", "/auth/logout"],
  ["GET", "/auth/validate"],
  ["POST", "/auth/validate"],
  ["POST", "/auth/verify-email/send"],
  ["GET", "/users/profile"],
  ["PUT", "/users/profile"],
  ["PATCH", "/users/profile"],
  ["GET", "/users/me"],
  ["POST", "/users/change-password"],
  ["POST", "/users/password"],
  ["GET", "/users/sessions"],
  ["DELETE", "/users/sessions/abcdefghijkl"],
  ["POST", "/mfa/setup"],
  ["POST", "/mfa/verify"],
  ["POST", "/mfa/disable"],
  ["GET", "/mfa/status"],
  ["POST", "/mfa/regenerate-backup-codes"],
  ["POST", "/mfa/verify-backup-code"],
];

test("JW-10: no bearer is MISSING_TOKEN without `error`, a bad one INVALID_TOKEN with it, on every protected route", async (t) => {
  const family = await openFamily(t);

  for (const [method, path] of protectedRoutes) {
    const none = await family.call(method, path);
    assert.deepEqual(said(none), missing, `${method} ${path}`);
    assert.equal(none.headers.get("www-authenticate"), 'Bearer realm="polyfactor"');

    const bad = await family.call(method, path, { token: "a.b.c" });
    assert.deepEqual(said(bad), invalid, `${method} ${path}`);
    assert.equal(
      bad.headers.get("www-authenticate"),
      'Bearer realm="polyfactor", error="invalid_token"',
    );
  }
});

for (const { scheme, expected } of [
  { scheme: "", expected: missing },
  { scheme: "Bearer", expected: missing },
  { scheme: "Bearer  ", expected: missing },
  { scheme: "Basic YWxpY2U6c2VjcmV0", expected: missing },
  { scheme: "bearer a b", expected: invalid },
  { scheme: "BEARER x", expected: invalid },
]) {
  test(`JW-10: \`Authorization: ${scheme}\` is ${expected[1]}`, async (t) => {
    const family = await openFamily(t);

    const answer = await family.get("/mfa/status", { headers: { authorization: scheme } });

    assert.deepEqual(said(answer), expected);
  });
}

test("register refuses a taken name, a taken address and either in another spelling with 409 USER_EXISTS", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const taken = [409, "USER_EXISTS", "An account with the provided details already exists"];

  for (const person of [
    { ...bob, username: alice.username },
    { ...bob, username: "ALICE" },
    { ...bob, email: alice.email },
    { ...bob, email: "Alice@EXAMPLE.org" },
    { ...bob, username: alice.email, email: alice.email },
  ]) {
    assert.deepEqual(said(await family.post("/auth/register", person)), taken);
  }
  await register(family, bob);
});

for (const { body, field, words } of [
  { body: { ...alice, username: "" }, field: "username", words: "Username is required" },
  { body: { ...alice, username: "ab" }, field: "username", words: "The request is not valid" },
  { body: { ...alice, username: "a b c" }, field: "username", words: "The request is not valid" },
  { body: { ...alice, username: bob.email }, field: "username", words: "The request is not valid" },
  {
    body: { ...alice, username: "x".repeat(255) },
    field: "username",
    words: "Username is required",
  },
  { body: { ...alice, email: "nowhere" }, field: "email", words: "The request is not valid" },
  { body: { ...alice, email: undefined }, field: "email", words: "Email is required" },
  { body: { ...alice, password: "short" }, field: "password", words: "The password is too short" },
  {
    body: { ...alice, password: "x".repeat(1025) },
    field: "password",
    words: "The password is too long",
  },
  {
    body: { ...alice, password: "alice@example.org" },
    field: "password",
    words: "The password is too common",
  },
]) {
  const shown = JSON.stringify(body[field as keyof typeof body] ?? null).slice(0, 30);
  test(`register refuses ${field} ${shown} with 400 VALIDATION_ERROR naming the field`, async (t) => {
    const family = await openFamily(t);

    const answer = await family.post("/auth/register", body);

    assert.deepEqual(said(answer), [400, "VALIDATION_ERROR", words]);
    assert.equal(answer.error.details?.field, field);
  });
}

test("a user name has 3 to 254 characters and may be the account's own address", async (t) => {
  const family = await openFamily(t);
  const names = ["abc", "x".repeat(254), "d@example.org"];

  for (const [at, username] of names.entries()) {
    const email = username.includes("@") ? username : `person-${at}@example.org`;
    await register(family, { ...alice, username, email });
    await logIn(family, { ...alice, username });
  }
});

test("login answers wrong name, wrong password and missing fields as documented", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const logInWith = async (body: object) => said(await family.post("/auth/login", body));
  const { username, password } = alice;
  const required = [400, "VALIDATION_ERROR", "Username and password are required"];
  const together = [400, "VALIDATION_ERROR", "challenge_id and mfa_code must be provided together"];

  assert.deepEqual(await logInWith({ username, password: "wrong" }), credentials);
  assert.deepEqual(await logInWith({ username: "nobody", password }), credentials);
  assert.deepEqual(await logInWith({ username, password: "" }), required);
  assert.deepEqual(await logInWith({ password }), required);
  assert.deepEqual(await logInWith({ username, password, challenge_id: "mfa_x" }), together);
  assert.deepEqual(await logInWith({ username, password, mfa_code: "123456" }), together);
  const nulls = { challenge_id: null, mfa_code: null };
  assert.equal((await family.post("/auth/login", { username, password, ...nulls })).status, 200);
});

test("the second step is one submit: another's name, a wrong password, a wrong code or a dead challenge are one refusal", async (t) => {
  const family = await openFamily(t);
  const { secret } = await registerEnrolled(family);
  await register(family, { ...bob, password: alice.password });
  const challenge = await challengeOf(family);
  const code = totpCode(secret, family.clock);
  const finish = async (more: object) =>
    said(
      await family.post("/auth/login", {
        ...{ username: "alice", password: alice.password, challenge_id: challenge, mfa_code: code },
        ...more,
      }),
    );

  const mismatches = [
    { username: "bob" },
    { username: "nobody" },
    { password: bob.password },
    { mfa_code: wrongCode(secret, family.clock) },
  ];
  for (const more of mismatches) assert.deepEqual(await finish(more), badChallenge);
  for (const challenge_id of ["mfa_x", `${challenge}x`, challenge.slice(4, -1), "mfa_", "é"]) {
    assert.deepEqual(await finish({ challenge_id }), badChallenge);
  }
  assert.equal((await finishLogin(family, { challenge, code })).status, 200);
});

test("each mismatch of the second step costs a try of the challenge and both budgets, and five end it", async (t) => {
  const family = await openFamily(t);
  const { id, secret } = await registerEnrolled(family);
  const challenge = await challengeOf(family);
  const code = totpCode(secret, family.clock);

  for (const round of [1, 2, 3, 4, 5]) {
    const body = { ...{ username: "nobody", password: alice.password }, challenge_id: challenge };
    const answer = await family.post("/auth/login", { ...body, mfa_code: code });
    assert.deepEqual(said(answer), badChallenge);
    const { budgets, pending = {} } = await family.account(id);
    const [entry] = Object.values(pending);
    assert.deepEqual(
      [entry?.tries, budgets?.password?.fails, budgets?.second?.fails, budgets?.code?.fails],
      [round, round, round, round],
    );
  }
  family.clock.advance(60_000);
  const fresh = totpCode(secret, family.clock);
  assert.deepEqual(said(await finishLogin(family, { challenge, code: fresh })), badChallenge);
  assert.equal(
    (await finishLogin(family, { challenge: await challengeOf(family), code: fresh })).status,
    200,
  );
});

test("an account over budget is 429 ACCOUNT_LOCKED with retry_after and Retry-After, step by step", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const { username, password } = alice;
  const attempt = (secret: string) => family.post("/auth/login", { username, password: secret });
  const waits: unknown[] = [];
  for (let failure = 0; failure < 5; failure += 1) await attempt("wrong");

  for (const wait of [1, 2, 4]) {
    const refused = await attempt(password);
    assert.deepEqual(said(refused), locked);
    assert.equal(refused.headers.get("retry-after"), String(wait));
    waits.push(refused.error.details?.retry_after);
    family.clock.advance(1000 * wait);
    assert.deepEqual(said(await attempt("wrong")), credentials);
  }

  assert.deepEqual(waits, [1, 2, 4]);
});

test("an address over its limit is 429 RATE_LIMIT_EXCEEDED with the documented headers, in Unix seconds", async (t) => {
  const family = await openFamily(t, { auth: { throttle: { limit: 2, window: 600 } } });
  const attempt = () => family.post("/auth/login", { username: "nobody", password: "wrong" });
  await attempt();
  await attempt();
  family.clock.advance(1500);

  const { status, error, headers } = await attempt();

  assert.deepEqual([status, error.code], [429, "RATE_LIMIT_EXCEEDED"]);
  assert.deepEqual(error.details, { retry_after: 599 });
  const reset = Math.ceil((family.clock.clock().getTime() - 1500 + 600_000) / 1000);
  assert.deepEqual(
    ["limit", "remaining", "reset"].map((name) => headers.get(`x-ratelimit-${name}`)),
    ["2", "0", String(reset)],
  );
  assert.equal(headers.get("retry-after"), "599");
});

test("refresh refuses an access token, rubbish, a logged-out and a disabled account's token", async (t) => {
  const family = await openFamily(t);
  const { id, access, refresh } = await registerAndLogIn(family);
  const renew = async (refresh_token: unknown) =>
    said(await family.post("/auth/refresh", { refresh_token }));
  const bad = [401, "INVALID_TOKEN", "Invalid or expired refresh token"];

  assert.deepEqual(await renew(access), bad);
  assert.deepEqual(await renew("x"), bad);
  assert.deepEqual(await renew(""), [400, "VALIDATION_ERROR", "Refresh token is required"]);
  const other = await logIn(family);
  await family.post("/auth/logout", undefined, { token: other.access });
  assert.deepEqual(await renew(other.refresh), bad);
  await family.calls.disable(id);
  assert.deepEqual(await renew(refresh), [
    401,
    "ACCOUNT_DEACTIVATED",
    "The account is deactivated",
  ]);
  const { username, password } = alice;
  assert.deepEqual(said(await family.post("/auth/login", { username, password })), credentials);
});

test("logout without a token of ours is 401", async (t) => {
  const family = await openFamily(t);

  assert.deepEqual(said(await family.post("/auth/logout")), missing);
  assert.deepEqual(said(await family.post("/auth/logout", undefined, { token: "x.y.z" })), invalid);
});

test("verify refuses by the table: empty, not six digits, nothing pending, wrong, expired", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const verify = async (totp_code: unknown) =>
    said(await family.post("/mfa/verify", { totp_code }, { token }));
  const pendingNone = [
    400,
    "MFA_NOT_PENDING",
    "No pending MFA setup found. Call /mfa/setup first.",
  ];

  assert.deepEqual(await verify(""), [400, "VALIDATION_ERROR", "TOTP code is required"]);
  assert.deepEqual(await verify(undefined), [400, "VALIDATION_ERROR", "TOTP code is required"]);
  assert.deepEqual(await verify("12345"), [400, "VALIDATION_ERROR", "TOTP code must be 6 digits"]);
  assert.deepEqual(await verify("123456"), pendingNone);
  const { data } = await family.post("/mfa/setup", undefined, { token });
  assert.deepEqual(await verify(wrongCode(data.secret, family.clock)), wrongTotp);
  family.clock.advance(600_000);
  assert.deepEqual(await verify(totpCode(data.secret, family.clock)), pendingNone);
});

test("disable refuses by the table: empty, not enabled, wrong password, wrong code", async (t) => {
  const family = await openFamily(t);
  const session = await registerAndLogIn(family);
  const disable = async (password: string, totp_code: string) =>
    said(await family.post("/mfa/disable", { password, totp_code }, { token: session.access }));
  const required = [400, "VALIDATION_ERROR", "Password and TOTP code are required"];
  const { password } = alice;

  assert.deepEqual(await disable("", "123456"), required);
  assert.deepEqual(await disable(password, ""), required);
  assert.deepEqual(await disable(password, "123456"), notEnabled);
  const { secret, backupCodes } = await enrol(family, session);
  const code = totpCode(secret, family.clock);
  const wrong = [401, "MFA_UNAUTHORIZED", "Incorrect password"];
  assert.deepEqual(await disable("wrong", code), wrong);
  assert.deepEqual(await disable(password, wrongCode(secret, family.clock)), wrongTotp);
  const [backup = ""] = backupCodes;
  assert.equal((await disable(password, backup))[1], "VALIDATION_ERROR");
});

test("regenerate and verify-backup-code refuse by the table", async (t) => {
  const family = await openFamily(t);
  const session = await registerAndLogIn(family);
  const { access: token, id } = session;
  const use = async (backup_code: string) =>
    said(await family.post("/mfa/verify-backup-code", { backup_code }, { token }));
  const regenerate = async () =>
    said(await family.post("/mfa/regenerate-backup-codes", undefined, { token }));
  const none = [400, "MFA_ERROR", "No backup codes found for this account"];
  const used = [400, "MFA_INVALID_CODE", "Invalid or already-used backup code"];

  assert.deepEqual(await regenerate(), notEnabled);
  assert.deepEqual(await use(""), [400, "VALIDATION_ERROR", "Backup code is required"]);
  assert.deepEqual(await use("ABCDEFGH"), none);
  const { backupCodes } = await enrol(family, session);
  const [first = ""] = backupCodes;
  assert.deepEqual(await use("ABCDEFGH"), used);
  assert.deepEqual(await use("123456"), used);
  assert.deepEqual(await use("not a code at all"), used);
  assert.equal((await use(first))[0], 200);
  assert.deepEqual(await use(first), used);
  await family.tamper(id, { $set: { "backup.codes": {} } });
  assert.deepEqual(await use("ABCDEFGH"), none);
});

const needsFreshFactor: readonly [string, string, (secret: string) => unknown][] = [
  ["POST", "/mfa/setup", () => undefined],
  ["POST", "/mfa/verify", (code) => ({ totp_code: code })],
  ["POST", "/mfa/regenerate-backup-codes", () => undefined],
  ["PUT", "/users/profile", () => ({ email: "new@example.org" })],
  ["PATCH", "/users/profile", () => ({ email: "new@example.org" })],
  [
    "POST",
    "/users/change-password",
    () => ({ current_password: alice.password, new_password: bob.password }),
  ],
];

for (const [method, path, body] of needsFreshFactor) {
  test(`MC-11: ${method} ${path} without a fresh second factor is 401 with RFC 9470's challenge, and works after one`, async (t) => {
    const family = await openFamily(t);
    const { access: token, secret, backupCodes } = await registerEnrolled(family);
    const pending = await family.post("/mfa/setup", undefined, { token });
    family.clock.advance(870_000);
    const code = () =>
      totpCode(path === "/mfa/verify" ? pending.data.secret : secret, family.clock);
    const sent = () => ({ token, body: body(code()) });

    family.clock.advance(1);
    const refused = await family.call(method, path, sent());
    assert.deepEqual(said(refused), stepUp);
    assert.equal(refused.error.details, undefined);
    assert.equal(
      refused.headers.get("www-authenticate"),
      'Bearer realm="polyfactor", error="insufficient_user_authentication", acr_values="aal2", max_age="900"',
    );

    const backup = { backup_code: backupCodes[0] };
    assert.equal((await family.post("/mfa/verify-backup-code", backup, { token })).status, 200);
    const { error, status, text } = await family.call(method, path, sent());
    // The set-up that waited for its confirmation has ended meanwhile.
    const expected = path === "/mfa/verify" ? [400, "MFA_NOT_PENDING"] : [200, ""];
    assert.deepEqual([status, error.code], expected, text);
  });
}

test("MC-12: a mandatory last factor cannot be switched off: 409 CONFLICT, and it stays", async (t) => {
  const family = await openFamily(t, { auth: { policy: { secondFactor: "required" } } });
  const { access: token, secret } = await registerEnrolled(family);
  const proof = () => ({
    password: alice.password,
    totp_code: totpCode(secret, family.clock),
  });

  const refused = await family.post("/mfa/disable", proof(), { token });

  assert.deepEqual(said(refused), [
    409,
    "CONFLICT",
    "A second factor is required for this account",
  ]);
  await logInWithApp(family, { secret });
});

test("change-password refuses a wrong current password with 400, a bad new one with the reason", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const change = (current_password: string, new_password: string): Promise<Answer> =>
    family.post("/users/change-password", { current_password, new_password }, { token });
  const { password } = alice;

  const wrong = [400, "VALIDATION_ERROR", "Current password is incorrect"];
  assert.deepEqual(said(await change("wrong", bob.password)), wrong);
  assert.deepEqual(said(await change(password, "short")), [
    400,
    "VALIDATION_ERROR",
    "The password is too short",
  ]);
  const { error } = await change(password, "alice@example.org");
  assert.equal(error.message, "The password is too common");
});

test("PW-11: wrong current passwords count as failed attempts and then are 429", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const change = async () =>
    said(
      await family.post(
        "/users/change-password",
        { current_password: "wrong", new_password: bob.password },
        { token },
      ),
    );
  for (let failure = 0; failure < 5; failure += 1) assert.equal((await change())[0], 400);

  assert.deepEqual(await change(), locked);
  const { username, password } = alice;
  assert.deepEqual(said(await family.post("/auth/login", { username, password })), locked);
});

async function ownSession(family: OpenedFamily, token: string): Promise<string> {
  const { list } = await family.get("/users/sessions", { token });
  return (list[0] as { id: string }).id;
}

test("MT-03: an unknown session and somebody else's are 404 alike, and the other one lives on", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  await register(family, bob);
  const other = await logIn(family, bob);
  const missingSession = [404, "NOT_FOUND", "Session not found"];
  const end = async (id: string) =>
    said(await family.call("DELETE", `/users/sessions/${id}`, { token }));

  assert.deepEqual(await end(await ownSession(family, other.access)), missingSession);
  for (const id of ["abcdefghijkl", "__proto__", "toString", "a.b", "$where", "%2e%2e%2f"]) {
    assert.deepEqual(await end(id), missingSession, id);
  }
  assert.equal((await family.get("/auth/validate", { token: other.access })).status, 200);
});

test("a verification token that is unknown, expired or spent is 400 VALIDATION_ERROR", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const [mail] = await family.mails("verify_email");
  const confirm = async (token: unknown) =>
    said(await family.post("/auth/verify-email", { token }));
  const bad = [400, "VALIDATION_ERROR", "Invalid or expired verification token"];

  assert.deepEqual(await confirm("x"), bad);
  assert.deepEqual(await confirm(""), [400, "VALIDATION_ERROR", "Token is required"]);
  assert.equal((await confirm(mail?.token))[0], 200);
  assert.deepEqual(await confirm(mail?.token), bad);
});

for (const [method, path] of [
  ["POST", "/mfa/setup"],
  ["POST", "/mfa/verify"],
  ["POST", "/mfa/disable"],
  ["POST", "/mfa/regenerate-backup-codes"],
  ["POST", "/mfa/verify-backup-code"],
] as const) {
  test(`a factor whose strategy is not listed is 404 at ${path}`, async (t) => {
    const family = await openFamily(t);
    const { access: token } = await registerAndLogIn(family);
    const only = await openFamily(t, { only: ["password"] });
    const { access } = await registerAndLogIn(only);
    const body = { body: { totp_code: "123456", backup_code: "ABCDEFGH", password: "x" } };

    const offered = await family.call(method, path, { token, ...body });
    const notOffered = await only.call(method, path, { token: access, ...body });

    assert.notEqual(offered.status, 404);
    assert.deepEqual([notOffered.status, notOffered.error.code], [404, "NOT_FOUND"]);
  });
}
