import assert from "node:assert/strict";
import { test } from "node:test";
import { atOnce } from "../../support/auth.ts";
import {
  alice,
  bob,
  enrol,
  logIn,
  mailedToken,
  openFamily,
  outcome,
  register,
  registerAndLogIn,
  registerEnrolled,
  type OpenedFamily,
} from "../../support/auth-framework.ts";

const confirmed = "200";
const refused = "400 VALIDATION_ERROR";

async function confirm(family: OpenedFamily, token: string): Promise<string> {
  return outcome(await family.post("/auth/verify-email", { token }));
}

function changeAddress(family: OpenedFamily, token: string, email: string) {
  return family.call("PUT", "/users/profile", { body: { email }, token });
}

test("RT-01: a mailed token has 32 random bytes, is stored as a digest alone and is good for its purpose alone", async (t) => {
  const family = await openFamily(t);
  const id = await register(family);
  const token = await mailedToken(family, alice.email);
  const [, , secret = ""] = Buffer.from(token, "base64url").toString().split("\n");

  assert.equal(Buffer.from(secret, "base64url").length, 32);
  assert.ok(!JSON.stringify(await family.account(id)).includes(secret));
  assert.equal((await family.get("/auth/validate", { token })).status, 401);
  assert.equal((await family.post("/auth/refresh", { refresh_token: token })).status, 401);
  await assert.rejects(family.calls.unlockByToken(token, {}));
  assert.equal(await confirm(family, token), confirmed);
});

test("RT-02: a mailed token lives 24 hours, to the millisecond", async (t) => {
  const family = await openFamily(t);
  await register(family);
  await register(family, bob);
  const early = await mailedToken(family, alice.email);
  const late = await mailedToken(family, bob.email);

  family.clock.advance(86_399_999);
  assert.equal(await confirm(family, early), confirmed);
  family.clock.advance(1);
  assert.equal(await confirm(family, late), refused);
});

test("RT-03: of a hundred uses of one token at once one succeeds, and a newer token ends the older", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const old = await mailedToken(family, alice.email);
  family.clock.advance(60_000);
  await family.post("/auth/verify-email/send", undefined, { token: access });
  const token = await mailedToken(family, alice.email);

  assert.equal(await confirm(family, old), refused);
  const outcomes = await Promise.all(atOnce(100, () => confirm(family, token)));

  assert.equal(outcomes.filter((one) => one === confirmed).length, 1);
  assert.equal(outcomes.filter((one) => one === refused).length, 99);
});

test("RT-04: asking for mails and for a new address changes nothing before a token is shown", async (t) => {
  const family = await openFamily(t);
  const session = await registerEnrolled(family);
  await changeAddress(family, session.access, "new@example.org");
  const before = await family.account(session.id);

  for (const email of [alice.email, "new@example.org", "nobody@example.org"]) {
    for (let more = 0; more < 30; more += 1) {
      assert.equal((await family.post("/auth/resend-verification", { email })).status, 200);
    }
  }
  await family.auth.close();

  assert.deepEqual(
    { ...(await family.account(session.id)), mailed: {} },
    { ...before, mailed: {} },
  );
  assert.equal((await family.get("/auth/validate", { token: session.access })).status, 200);
});

test("RT-07: links are built from the configured URL, whatever Host, Origin and forwarding headers say", async (t) => {
  const family = await openFamily(t);
  const headers = {
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "http",
    "x-forwarded-prefix": "/evil",
    forwarded: "host=evil.example;proto=http",
    origin: "https://evil.example",
    referer: "https://evil.example/",
  };

  await family.post("/auth/register", alice, { headers });
  family.clock.advance(60_000);
  await family.post("/auth/resend-verification", { email: alice.email }, { headers });

  const mails = await family.mails("verify_email");
  assert.equal(mails.length, 2);
  for (const { link = "", text } of mails) {
    assert.equal(new URL(link).origin, "https://login.example.org");
    assert.doesNotMatch(text, /evil/);
  }
});

test("RT-08: the token stands in the link's fragment, and no GET or HEAD of the API spends it", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const [mail] = await family.mails("verify_email");
  const link = new URL(mail?.link ?? "");
  const token = new URLSearchParams(link.hash.slice(1)).get("token") ?? "";

  assert.equal(link.search, "");
  for (const method of ["GET", "HEAD", "GET", "HEAD"]) {
    const { status } = await family.call(method, `/auth/verify-email?token=${token}`);
    assert.equal(status, 405);
  }
  assert.equal(await confirm(family, token), confirmed);
});

test("RT-09: a new address counts once its owner confirms it; the old one is told at both moments and then logs nobody in", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const email = "alice@new.example.org";

  const asked = await changeAddress(family, token, email);
  assert.deepEqual([asked.status, asked.data.email], [200, alice.email]);
  const logInAs = async (username: string) =>
    (await family.post("/auth/login", { username, password: alice.password })).status;
  assert.deepEqual([await logInAs(alice.email), await logInAs(email)], [200, 401]);
  assert.equal(await confirm(family, await mailedToken(family, email)), confirmed);

  assert.deepEqual([await logInAs(alice.email), await logInAs(email)], [401, 200]);
  const profile = await family.get("/users/profile", { token });
  assert.deepEqual([profile.data.email, profile.data.email_verified], [email, true]);
  const told = (await family.mails()).filter(({ to }) => to === alice.email);
  assert.deepEqual(
    told.map(({ kind }) => kind),
    ["verify_email", "email_change_requested", "email_changed"],
  );
});

test("RT-09: a change of the address needs a fresh second factor where there is one", async (t) => {
  const family = await openFamily(t);
  const session = await registerEnrolled(family);
  family.clock.advance(901_000);

  const { status, error } = await changeAddress(family, session.access, "new@example.org");

  assert.deepEqual([status, error.code], [401, "MFA_REQUIRED"]);
});

test("RT-09: of two who claim one new address at once one gets it, and the loser keeps the old one", async (t) => {
  const family = await openFamily(t);
  const people = [await registerAndLogIn(family), await registerAndLogIn(family, bob)];
  const email = "wanted@example.org";
  for (const { access } of people) await changeAddress(family, access, email);
  const tokens = (await family.mails())
    .filter(({ to }) => to === email)
    .map(({ token = "" }) => token);
  assert.equal(tokens.length, 2);

  const outcomes = await Promise.all(tokens.map((token) => confirm(family, token)));

  assert.deepEqual([...outcomes].sort(), [confirmed, refused]);
  const addresses = await Promise.all(
    people.map(
      async ({ access }) => (await family.get("/users/profile", { token: access })).data.email,
    ),
  );
  assert.equal(addresses.filter((address) => address === email).length, 1);
});

test("RT-09: the owner of a taken address gets a notice and no token, and who asked learns nothing", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  await register(family, bob);

  const { status, data } = await changeAddress(family, token, bob.email);

  assert.deepEqual([status, data.email], [200, alice.email]);
  const [, notice] = (await family.mails()).filter(({ to }) => to === bob.email);
  assert.deepEqual(
    [notice?.kind, notice?.token, notice?.link],
    ["address_in_use", undefined, undefined],
  );
});

test("RT-10: a token speaks for the address it was sent to: once that is given up, it is good for nothing", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const first = await mailedToken(family, alice.email);
  await changeAddress(family, token, "b@example.org");
  const second = await mailedToken(family, "b@example.org");
  await changeAddress(family, token, "c@example.org");
  const third = await mailedToken(family, "c@example.org");

  assert.equal(await confirm(family, second), refused);
  assert.equal(await confirm(family, third), confirmed);
  assert.equal(await confirm(family, first), refused);
  const { data } = await family.get("/users/profile", { token });
  assert.deepEqual([data.email, data.email_verified], ["c@example.org", true]);
});

test("LG-05: every change of a factor, the password or the address is told to the owner, with what to do if it was somebody else", async (t) => {
  const family = await openFamily(t);
  const session = await registerAndLogIn(family);
  const { access: token } = session;
  await enrol(family, session);
  family.clock.advance(900_000 - 30_000);
  await family.post("/mfa/regenerate-backup-codes", undefined, { token });
  const codes = await family.post("/mfa/regenerate-backup-codes", undefined, { token });
  await family.post("/mfa/verify-backup-code", { backup_code: codes.list[0] }, { token });
  family.clock.advance(900_000);
  await family.post(
    "/users/change-password",
    { current_password: alice.password, new_password: bob.password },
    { token },
  );

  const mails = (await family.mails()).filter(({ kind }) => kind !== "verify_email");

  assert.deepEqual(
    mails.map(({ kind }) => kind),
    [
      "factor_added",
      "backup_codes_replaced",
      "backup_codes_replaced",
      "backup_code_used",
      "password_changed",
    ],
  );
  for (const { text, to } of mails) {
    assert.equal(to, alice.email);
    assert.match(text, /If this was not you/);
  }
});

test("TH-08: fifty requests for a mail to one address send five in a quarter of an hour", async (t) => {
  const family = await openFamily(t);
  await register(family);
  for (let request = 0; request < 14; request += 1) {
    family.clock.advance(60_000);
    await family.post("/auth/resend-verification", { email: alice.email });
    await family.mails();
  }

  const sent = await family.mails("verify_email");

  assert.equal(sent.length, 5);
});

test("IV-10: a name full of markup stays text: it is in no mail, and comes back in JSON as it was", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  const first_name = `<img src=x onerror=alert(1)>"'&`;
  await family.call("PUT", "/users/profile", { body: { first_name }, token });
  await changeAddress(family, token, "new@example.org");

  const profile = await family.get("/users/profile", { token });
  assert.equal(profile.data.first_name, first_name);
  assert.match(String(profile.headers.get("content-type")), /^application\/json/);
  assert.doesNotMatch(JSON.stringify(await family.mails()), /<img|onerror/);
});

test("IV-10: a refusal reflects nothing of what was sent", async (t) => {
  const family = await openFamily(t);
  const lure = "<script>lure()</script>";
  await logIn(family, await register(family).then(() => alice));

  for (const body of [
    { username: lure, password: lure },
    { username: "alice", password: "x", mfa_code: lure, challenge_id: lure },
    { [lure]: lure },
    lure,
  ]) {
    const { text } = await family.post("/auth/login", body);
    assert.doesNotMatch(text, /lure/);
  }
});
