import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeJwt } from "jose";
import {
  alice,
  bob,
  challengeOf,
  enrol,
  finishLogin,
  logIn,
  logInWithApp,
  mailedToken,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
  type SessionRow,
} from "../../support/auth-framework.ts";
import { totpCode } from "../../support/auth.ts";

test("register answers 200 with id, name and address, and mails a link to our page", async (t) => {
  const family = await openFamily(t);

  const { status, json, data } = await family.post("/auth/register", alice);

  assert.equal(status, 200);
  const { username, email } = alice;
  assert.deepEqual(json, { success: true, data: { user_id: data.user_id, username, email } });
  const [mail] = await family.mails("verify_email");
  assert.equal(mail?.to, email);
  assert.match(
    String(mail.link),
    /^https:\/\/login\.example\.org\/verify-email#token=[\w-]+&tenant=main$/,
  );
});

test("login answers tokens, the user, a risk level and nothing else", async (t) => {
  const family = await openFamily(t);
  const id = await register(family);

  const { username, password } = alice;
  const { status, json, data } = await family.post("/auth/login", { username, password });

  assert.equal(status, 200);
  assert.deepEqual(json, {
    success: true,
    data: {
      access_token: data.access_token,
      refresh_token: data.refresh_token,
      token_type: "Bearer",
      expires_in: 3600,
      user: { id, username, roles: ["user"], permissions: [] },
      login_risk_level: "low",
      security_warnings: [],
    },
  });
});

test("an address is as good as a name at login, and the answer shows the name", async (t) => {
  const family = await openFamily(t);
  await register(family);

  const { data } = await family.post("/auth/login", {
    username: "ALICE@Example.org",
    password: alice.password,
  });

  assert.equal(data.user.username, "alice");
});

test("the first step of a login with a second factor is 401 MFA_REQUIRED with a challenge", async (t) => {
  const family = await openFamily(t);
  await registerEnrolled(family);

  const { username, password } = alice;
  const { status, error, headers } = await family.post("/auth/login", { username, password });

  assert.equal(status, 401);
  assert.deepEqual(error, {
    code: "MFA_REQUIRED",
    message: "Multi-factor authentication required",
    details: {
      challenge_id: error.details?.challenge_id,
      mfa_type: "totp_or_backup_code",
      expires_at: new Date(family.clock.clock().getTime() + 300_000).toISOString(),
      message: "Send this login again with challenge_id and mfa_code",
    },
  });
  assert.match(String(error.details.challenge_id), /^mfa_[\w-]{60,}$/);
  assert.equal(headers.get("www-authenticate"), 'Bearer realm="polyfactor"');
});

test("the second step takes a code of the app or a backup code, in any spacing and case", async (t) => {
  const family = await openFamily(t);
  const { secret, backupCodes } = await registerEnrolled(family);
  const [first = "", second = ""] = backupCodes;
  const spaced = `${second.slice(0, 4).toLowerCase()}-${second.slice(4)} `;

  for (const code of [totpCode(secret, family.clock), first, spaced]) {
    const { status, data } = await finishLogin(family, {
      challenge: await challengeOf(family),
      code,
    });
    assert.equal(status, 200);
    assert.deepEqual([data.login_risk_level, data.security_warnings], ["low", []]);
    assert.deepEqual(decodeJwt(data.access_token).amr, ["pwd", "otp", "mfa"]);
  }
});

test("remember_me makes the refresh token good for 30 days in place of 7, through both steps", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const daysOf = (token: string): number => {
    const { exp = 0, iat = 0 } = decodeJwt(token);
    return (exp - iat) / 86_400;
  };

  const plain = await logIn(family);
  const remembered = await logIn(family, alice, { remember_me: true });
  const { secret } = await enrol(family, plain);
  const { username, password } = alice;
  const pending = await family.post("/auth/login", { username, password, remember_me: true });
  const finished = await finishLogin(family, {
    challenge: String(pending.error.details?.challenge_id),
    code: totpCode(secret, family.clock),
  });

  assert.deepEqual(
    [plain.refresh, remembered.refresh, finished.data.refresh_token].map(daysOf),
    [7, 30, 30],
  );
});

test("refresh answers a new access token and no refresh token, and the old one stays good", async (t) => {
  const family = await openFamily(t);
  const { refresh } = await registerAndLogIn(family);

  for (const round of [1, 2]) {
    family.clock.advance(3_600_000);
    const { json, data } = await family.post("/auth/refresh", { refresh_token: refresh });

    assert.deepEqual(json, {
      success: true,
      data: { access_token: data.access_token, token_type: "Bearer", expires_in: 3600 },
    });
    const { status } = await family.get("/auth/validate", { token: data.access_token });
    assert.equal(status, 200, `round ${round}`);
  }
});

test("logout ends the session, with a body, without, and with an empty JSON one", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const done = { success: true, message: "Successfully logged out" };
  const json = { "content-type": "application/json" };

  for (const sent of [
    {},
    { headers: json },
    { body: "", headers: json },
    { body: {} },
    { body: { refresh_token: null } },
  ]) {
    const { access, refresh } = await logIn(family);
    const answer = await family.call("POST", "/auth/logout", { token: access, ...sent });
    assert.deepEqual([answer.status, answer.json], [200, done]);
    const after = await family.get("/auth/validate", { token: access });
    const renewed = await family.post("/auth/refresh", { refresh_token: refresh });
    assert.deepEqual([after.status, renewed.status], [401, 401]);
  }
});

test("logout with another session's refresh token of the same user ends both, with a stranger's only one", async (t) => {
  const family = await openFamily(t);
  await register(family);
  await register(family, bob);
  const [mine, other, stranger] = [
    await logIn(family),
    await logIn(family),
    await logIn(family, bob),
  ];
  const logOut = (token: string, refresh_token: string) =>
    family.post("/auth/logout", { refresh_token }, { token });
  const alive = async (token: string) => (await family.get("/auth/validate", { token })).status;

  await logOut(mine.access, stranger.refresh);
  assert.deepEqual([await alive(mine.access), await alive(stranger.access)], [401, 200]);
  const third = await logIn(family);
  await logOut(other.access, third.refresh);
  assert.deepEqual([await alive(other.access), await alive(third.access)], [401, 401]);
});

test("logout never fails on a stale token of ours", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const logOut = () => family.post("/auth/logout", undefined, { token: access });

  assert.equal((await logOut()).status, 200);
  assert.equal((await logOut()).status, 200);
  family.clock.advance(2 * 3_600_000);
  assert.equal((await logOut()).status, 200);
});

for (const method of ["GET", "POST"]) {
  test(`validate answers whose token it is, by ${method}`, async (t) => {
    const family = await openFamily(t);
    const { id, access } = await registerAndLogIn(family);

    const { status, json } = await family.call(method, "/auth/validate", { token: access });

    assert.equal(status, 200);
    const data = { id, username: "alice", roles: ["user"], permissions: [] };
    assert.deepEqual(json, { success: true, data });
  });
}

test("roles and permissions are the host's, in the profile, at login and in the token's scope", async (t) => {
  const family = await openFamily(t, {
    router: {
      authorities: ({ username }) => ({ roles: ["user", username], permissions: ["read"] }),
    },
  });
  const { access } = await registerAndLogIn(family);

  const { json } = await family.get("/auth/validate", { token: access });

  const data = (json as { data: object }).data as { roles: unknown; permissions: unknown };
  assert.deepEqual([data.roles, data.permissions], [["user", "alice"], ["read"]]);
  assert.equal(decodeJwt(access).scope, "user alice");
});

test("providers lists the host's external logins, and none by default", async (t) => {
  const plain = await openFamily(t);
  const listed = await openFamily(t, {
    router: { providers: [{ name: "google", displayName: "Google", authUrl: "/oauth/google" }] },
  });

  assert.deepEqual((await plain.get("/auth/providers")).list, []);
  assert.deepEqual((await listed.get("/auth/providers")).list, [
    { name: "google", display_name: "Google", auth_url: "/oauth/google" },
  ]);
});

test("setup answers an otpauth URI, a seed of 20 bytes and ten codes of eight characters", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);

  const { status, data, json } = await family.post("/mfa/setup", undefined, { token });

  assert.equal(status, 200);
  assert.deepEqual(Object.keys(json as object), ["success", "data"]);
  assert.deepEqual(Object.keys(data).sort(), ["backup_codes", "qr_code", "secret"]);
  assert.match(data.secret, /^[A-Z2-7]{32}$/);
  assert.equal(new Set(data.backup_codes).size, 10);
  assert.deepEqual(
    data.backup_codes.filter((code) => !/^[A-HJ-NP-Z2-9]{8}$/.test(code)),
    [],
  );
  const uri = new URL(data.qr_code);
  assert.equal(uri.protocol + uri.host, "otpauth:totp");
  assert.equal(decodeURIComponent(uri.pathname), "/Example:alice@example.org");
  const { searchParams: query } = uri;
  assert.deepEqual(
    ["secret", "issuer", "digits", "period"].map((name) => query.get(name)),
    [data.secret, "Example", "6", "30"],
  );
});

test("verify, status, regenerate, verify-backup-code and disable answer as documented", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const status = async () => (await family.get("/mfa/status", { token })).json;
  const data = { enabled: false, methods: [], backup_codes_remaining: 0 };
  assert.deepEqual(await status(), { success: true, data });

  const setup = await family.post("/mfa/setup", undefined, { token });
  assert.deepEqual(await status(), { success: true, data });
  const { secret } = setup.data;
  const code = totpCode(secret, family.clock);
  const verified = await family.post("/mfa/verify", { totp_code: code }, { token });
  assert.deepEqual(verified.json, { success: true, message: "MFA enabled successfully" });
  const enabled = { enabled: true, methods: ["totp"], backup_codes_remaining: 10 };
  assert.deepEqual(await status(), { success: true, data: enabled });

  const fresh = await family.post("/mfa/regenerate-backup-codes", undefined, { token });
  assert.deepEqual(fresh.json, { success: true, data: fresh.list });
  assert.equal(new Set([...fresh.list, ...setup.data.backup_codes]).size, 20);

  const backup = { backup_code: fresh.list[0] };
  const used = await family.post("/mfa/verify-backup-code", backup, { token });
  assert.deepEqual(used.json, { success: true, message: "Backup code verified" });
  assert.deepEqual(await status(), {
    success: true,
    data: { ...enabled, backup_codes_remaining: 9 },
  });

  family.clock.advance(30_000);
  const off = { password: alice.password, totp_code: totpCode(secret, family.clock) };
  const disabled = await family.post("/mfa/disable", off, { token });
  assert.deepEqual(disabled.json, { success: true, message: "MFA disabled successfully" });
  assert.deepEqual(await status(), { success: true, data });
});

test("verify and disable take the older field `code` where `totp_code` is absent, and only there", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const setup = await family.post("/mfa/setup", undefined, { token });
  const code = () => totpCode(setup.data.secret, family.clock);
  const { password } = alice;

  const both = { code: code(), totp_code: "not six digits" };
  assert.equal((await family.post("/mfa/verify", both, { token })).status, 400);
  assert.equal((await family.post("/mfa/verify", { code: code() }, { token })).status, 200);
  family.clock.advance(30_000);
  const off = await family.post("/mfa/disable", { password, code: code() }, { token });
  assert.equal(off.status, 200);
});

for (const method of ["PUT", "PATCH"]) {
  test(`the profile is read and changed by ${method}, and a name is taken away by null`, async (t) => {
    const family = await openFamily(t);
    const { id, access: token } = await registerAndLogIn(family);
    const change = (body: object) => family.call(method, "/users/profile", { body, token });
    const now = family.clock.clock().toISOString();
    const data = {
      ...{ id, username: "alice", email: alice.email, roles: ["user"], permissions: [] },
      ...{ mfa_enabled: false, email_verified: false, created_at: now, updated_at: now },
    };
    assert.deepEqual((await family.get("/users/profile", { token })).json, { success: true, data });

    const named = await change({ first_name: "Alice", last_name: "Liddell" });
    const shown = { ...data, first_name: "Alice", last_name: "Liddell" };
    assert.deepEqual(named.json, { success: true, data: shown });
    assert.deepEqual((await family.get("/users/profile", { token })).json, named.json);

    const without = await change({ last_name: null });
    assert.deepEqual(without.json, { success: true, data: { ...data, first_name: "Alice" } });
    assert.deepEqual((await change({})).json, without.json);
  });
}

test("a name of 100 characters is kept, one of 101 refused", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const change = (first_name: string) =>
    family.call("PUT", "/users/profile", { body: { first_name }, token });

  assert.equal((await change("x".repeat(100))).status, 200);
  const refused = await change("x".repeat(101));
  assert.deepEqual(
    [refused.status, refused.error.code, refused.error.details?.field],
    [400, "VALIDATION_ERROR", "first_name"],
  );
});

test("users/me answers OpenID Connect claims", async (t) => {
  const family = await openFamily(t);
  const { id, access: token } = await registerAndLogIn(family);
  const body = { first_name: "Alice", last_name: "Liddell" };
  await family.call("PUT", "/users/profile", { body, token });

  const { json } = await family.get("/users/me", { token });

  assert.deepEqual(json, {
    success: true,
    data: {
      ...{ sub: id, preferred_username: "alice", email: alice.email, email_verified: false },
      ...{ given_name: "Alice", family_name: "Liddell" },
      updated_at: family.clock.clock().getTime() / 1000,
    },
  });
});

for (const path of ["/users/change-password", "/users/password"]) {
  test(`the password is changed by ${path}`, async (t) => {
    const family = await openFamily(t);
    const { access: token } = await registerAndLogIn(family);
    const body = { current_password: alice.password, new_password: bob.password };

    const { json } = await family.post(path, body, { token });

    assert.deepEqual(json, { success: true, message: "Password changed successfully" });
    await logIn(family, { ...alice, password: bob.password });
  });
}

test("sessions are listed with the seven documented fields and ended by id", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const other = await logIn(family);
  const began = family.clock.clock().toISOString();

  const { list } = await family.get("/users/sessions", { token });
  const rows = list as SessionRow[];
  const [current] = rows.filter(({ is_current }) => is_current);
  const [foreign] = rows.filter(({ is_current }) => !is_current);

  assert.equal(rows.length, 2);
  assert.deepEqual(current, {
    id: decodeJwt(token).sid,
    device: "Alice's browser",
    location: "",
    ip_address: "127.0.0.1",
    created_at: began,
    last_active: began,
    is_current: true,
  });
  const path = `/users/sessions/${foreign?.id ?? ""}`;
  const ended = await family.call("DELETE", path, { token });
  assert.deepEqual(ended.json, { success: true, message: "Session revoked successfully" });
  assert.equal((await family.get("/auth/validate", { token: other.access })).status, 401);
});

test("verify-email/send mails the token and shows none, at most once a minute", async (t) => {
  const family = await openFamily(t);
  const { id, access: token } = await registerAndLogIn(family);
  const send = () => family.post("/auth/verify-email/send", undefined, { token });

  const early = await send();
  assert.deepEqual([early.status, early.error.code], [429, "RATE_LIMIT_EXCEEDED"]);
  family.clock.advance(60_000);
  const message = "Verification email sent";
  assert.deepEqual((await send()).json, {
    success: true,
    data: { sent: true, verification_token: "", message },
  });

  const confirmed = await family.post("/auth/verify-email", {
    token: await mailedToken(family, alice.email),
  });
  assert.deepEqual(confirmed.json, {
    success: true,
    data: { verified: true, user_id: id, message: "Email verified successfully" },
  });
  const again = await send();
  assert.deepEqual([again.status, again.data.sent], [200, false]);
});

const phone = { "user-agent": "phone" };
const proxies = { "x-forwarded-for": "192.0.2.1, 192.0.2.2" };
for (const { said, headers, level, warnings } of [
  { said: "an ordinary browser", headers: phone, level: "low", warnings: 0 },
  {
    said: "one proxy",
    headers: { ...phone, "x-forwarded-for": "192.0.2.1" },
    level: "low",
    warnings: 0,
  },
  { said: "two proxies", headers: { ...phone, ...proxies }, level: "medium", warnings: 1 },
  { said: "no client name", headers: { "user-agent": "" }, level: "high", warnings: 2 },
  { said: "Tor Browser", headers: { "user-agent": "Tor Browser 14" }, level: "high", warnings: 2 },
  {
    said: "no name and two proxies",
    headers: { "user-agent": "", ...proxies },
    level: "high",
    warnings: 3,
  },
] as const) {
  test(`the risk level of a login with ${said} is ${level}`, async (t) => {
    const family = await openFamily(t);
    await register(family);
    const { username, password } = alice;

    const { data } = await family.post("/auth/login", { username, password }, { headers });

    assert.equal(data.login_risk_level, level);
    assert.equal(data.security_warnings.length, warnings);
  });
}

test("a login with a second factor is of low risk, however it looks", async (t) => {
  const family = await openFamily(t);
  const { secret } = await registerEnrolled(family);
  const { username, password } = alice;
  const second = {
    challenge_id: await challengeOf(family),
    mfa_code: totpCode(secret, family.clock),
  };

  const headers = { "user-agent": "Tor Browser", ...proxies };
  const { data } = await family.post("/auth/login", { username, password, ...second }, { headers });

  assert.deepEqual([data.login_risk_level, data.security_warnings], ["low", []]);
});

test("a session that only sets a factor up may read, validate, refresh, confirm and log out, nothing else", async (t) => {
  const family = await openFamily(t, { auth: { policy: { secondFactor: "required" } } });
  const session = await registerAndLogIn(family);
  const { access: token, refresh } = session;
  const table: readonly [string, string, unknown, number][] = [
    ["GET", "/mfa/status", undefined, 200],
    ["GET", "/users/profile", undefined, 200],
    ["GET", "/users/me", undefined, 200],
    ["GET", "/auth/validate", undefined, 200],
    ["POST", "/auth/validate", undefined, 200],
    ["POST", "/auth/verify-email/send", undefined, 200],
    ["POST", "/auth/refresh", { refresh_token: refresh }, 200],
    ["PUT", "/users/profile", { first_name: "A" }, 403],
    ["PATCH", "/users/profile", { first_name: "A" }, 403],
    ["POST", "/users/change-password", { current_password: "x", new_password: "y" }, 403],
    ["POST", "/users/password", { current_password: "x", new_password: "y" }, 403],
    ["GET", "/users/sessions", undefined, 403],
    ["DELETE", "/users/sessions/x", undefined, 403],
    ["POST", "/mfa/disable", { password: "x", totp_code: "123456" }, 403],
    ["POST", "/mfa/regenerate-backup-codes", undefined, 403],
    ["POST", "/mfa/verify-backup-code", { backup_code: "ABCDEFGH" }, 403],
  ];
  family.clock.advance(60_000);

  for (const [method, path, body, expected] of table) {
    const sent = body === undefined ? { token } : { token, body };
    const { status, error } = await family.call(method, path, sent);
    assert.equal(status, expected, `${method} ${path}`);
    if (status === 403) assert.equal(error.code, "FORBIDDEN");
  }
  const enrolled = await enrol(family, session);
  assert.equal((await family.get("/users/sessions", { token })).status, 200);
  await logInWithApp(family, enrolled);
});
