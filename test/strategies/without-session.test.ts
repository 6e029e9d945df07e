import assert from "node:assert/strict";
import { test } from "node:test";
import type { FailureInfo } from "../../strategies/password.ts";
import { registerAlice, totpCode } from "../support/auth.ts";
import { frameworks, type HostApp } from "../support/passport-app.ts";
import { openSite, tellUser } from "../support/passport-site.ts";

const versions = Object.keys(frameworks) as (keyof typeof frameworks)[];

/** An API of a host's own: the ticket goes to the client and comes back in a body. */
function api({ app, authenticate }: HostApp): void {
  app.post("/api/login", (req, res, next) => {
    authenticate("password", { session: false }, (error, user, info) => {
      if (error !== null) {
        next(error);
        return;
      }
      const { code, message, progress } = (info ?? {}) as Partial<FailureInfo>;
      if (user !== false) res.json({ user });
      else if (progress?.status === "pending") res.json(progress);
      else res.status(401).json({ code, message });
    })(req, res, next);
  });
  app.post("/api/code", authenticate(["totp", "backup-code"], { session: false }), tellUser);
}

for (const framework of versions) {
  test(`MC-01: without a session the ticket is in the callback's info, and in the next body (${framework})`, async (t) => {
    const { browser, alice, clock } = await openSite(t, { framework, store: false, routes: api });
    const { post } = browser();
    const { username, password } = alice;

    const first = await post("/api/login", { username, password });
    const { ticket } = first.body;
    const second = await post("/api/code", { ticket, code: totpCode(alice.secret, clock) });

    assert.deepEqual(
      [first.body.status, first.body.accountId, first.body.methods, first.body.preferred],
      ["pending", alice.id, ["totp", "backup_code"], "totp"],
    );
    assert.deepEqual([second.status, second.body.user], [200, { id: alice.id }]);
  });
}

test("MC-04: a ticket is good for one success", async (t) => {
  const { browser, alice, clock } = await openSite(t, { store: false, routes: api });
  const { post } = browser();
  const { username, password } = alice;
  const { ticket } = (await post("/api/login", { username, password })).body;
  const once = await post("/api/code", { ticket, code: totpCode(alice.secret, clock) });
  clock.advance(30_000);

  const again = await post("/api/code", { ticket, code: totpCode(alice.secret, clock) });

  assert.deepEqual([once.status, again.status], [200, 401]);
});

test("MC-02, MC-03: a ticket that was altered, or names another account, opens nothing", async (t) => {
  const { browser, calls, alice, clock } = await openSite(t, { store: false, routes: api });
  const bob = await registerAlice(calls, { username: "bob", email: "bob@example.org" });
  const { post } = browser();
  const { username, password } = alice;
  const ticket = String((await post("/api/login", { username, password })).body.ticket);
  const plain = Buffer.from(ticket, "base64url").toString();
  const [subject = "", entry = "", secret = ""] = plain.split("\n");
  const forged = [
    ...[
      [bob.id, entry, secret],
      [subject, "AAAAAAAAAAAA", secret],
      [subject, entry],
    ],
    ...[[subject, entry, secret.toLowerCase()], [subject, entry, secret, "more"], [], ["a.b.c"]],
  ].map((parts) => Buffer.from(parts.join("\n")).toString("base64url"));

  const answers: number[] = [];
  for (const one of forged) {
    const code = totpCode(alice.secret, clock);
    answers.push((await post("/api/code", { ticket: one, code })).status);
  }

  assert.deepEqual([...new Set(answers)], [401]);
  const right = await post("/api/code", { ticket, code: totpCode(alice.secret, clock) });
  assert.equal(right.status, 200);
});

test("`session: false` leaves the host's session as it was, at both steps", async (t) => {
  const site = await openSite(t, { routes: api });
  const { alice, clock } = site;
  const browser = site.browser();
  const { username, password } = alice;

  const first = await browser.post("/api/login", { username, password });
  const { ticket } = first.body;
  const second = await browser.post("/api/code", { ticket, code: totpCode(alice.secret, clock) });

  assert.deepEqual([first.sid, second.sid], [undefined, undefined]);
  assert.deepEqual(second.body.user, { id: alice.id });
  assert.deepEqual(Object.keys(await site.stored()), []);
});

test("EN-01: an unknown name, a wrong password and a disabled account get one answer", async (t) => {
  const { browser, calls, alice } = await openSite(t, { store: false, routes: api });
  const bob = await registerAlice(calls, { username: "bob", email: "bob@example.org" });
  await calls.disable(bob.id);
  const { post } = browser();

  const unknown = await post("/api/login", { username: "nobody", password: alice.password });
  const wrong = await post("/api/login", { username: "alice", password: "not her password" });
  const disabled = await post("/api/login", { username: "bob", password: bob.password });

  assert.equal(wrong.status, 401);
  assert.deepEqual([unknown.body, disabled.body], [wrong.body, wrong.body]);
});

test("EX-02, IV-01: fields that are no text, and a body that is none, are refused before anything is asked", async (t) => {
  const { browser, alice, hasher, clock } = await openSite(t, { store: false, routes: api });
  const { post } = browser();
  const code = totpCode(alice.secret, clock);
  const asked = hasher.verified;
  const odd = [{ $ne: "" }, ["alice"], 1, true, null, ""];

  const answers = [await post("/api/login"), await post("/api/code")];
  for (const value of odd) {
    answers.push(await post("/api/login", { username: value, password: alice.password }));
    answers.push(await post("/api/login", { username: "alice", password: value }));
    answers.push(await post("/api/code", { ticket: value, code }));
    answers.push(await post("/api/code", { ticket: "a.b.c", code: value }));
  }

  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [401]);
  assert.equal(hasher.verified, asked);
});
