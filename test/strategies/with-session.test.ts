import assert from "node:assert/strict";
import { test } from "node:test";
import expressSession from "express-session";
import {
  logIn,
  registerAlice,
  registerWithTotp,
  ticketIn,
  totpCode,
  wrongCode,
} from "../support/auth.ts";
import { frameworks, type Browser, type StoredSession } from "../support/passport-app.ts";
import { openSite, typePassword, type Site } from "../support/passport-site.ts";

const versions = Object.keys(frameworks) as (keyof typeof frameworks)[];

const codeOf = ({ alice, clock }: Site): string => totpCode(alice.secret, clock);

async function logInFully(site: Site, browser: Browser): Promise<string | undefined> {
  await typePassword(browser, site.alice);
  const { sid } = await browser.post("/code", { code: codeOf(site) });
  return sid;
}

/** What the store holds under this id, without the cookie's own settings. */
async function storedUnder(site: Site, sid = ""): Promise<StoredSession> {
  const { cookie, ...content }: StoredSession = (await site.stored())[sid] ?? {};
  assert.ok(cookie, "the store has this session");
  return content;
}

for (const framework of versions) {
  test(`MC-01, SE-10: the right password alone leaves ids of a pending login in the session and opens nothing (${framework})`, async (t) => {
    const site = await openSite(t, { framework });
    const browser = site.browser();

    const answer = await typePassword(browser, site.alice);

    assert.deepEqual([answer.status, answer.headers.location], [303, "/code"]);
    const { polyfactor, ...rest } = await storedUnder(site, answer.sid);
    const { pending = {} } = await site.account(site.alice.id);
    assert.deepEqual(polyfactor, { subject: site.alice.id, pending: Object.keys(pending)[0] });
    assert.deepEqual(rest, {});
    assert.deepEqual((await browser.get("/me")).body, { user: null, authInfo: null });
    assert.equal((await browser.get("/vault")).status, 401);
  });

  test(`MC-10: a right code logs in with level, methods and time, and Passport's new session keeps our ids (${framework})`, async (t) => {
    const site = await openSite(t, { framework });
    const browser = site.browser();
    await typePassword(browser, site.alice);

    const answer = await browser.post("/code", { code: codeOf(site) });

    const { sessions = {} } = await site.account(site.alice.id);
    const { polyfactor, passport } = await storedUnder(site, answer.sid);
    const session = String(polyfactor?.session);
    assert.ok(session in sessions);
    assert.deepEqual(polyfactor, { subject: site.alice.id, session });
    assert.deepEqual(passport, { user: { id: site.alice.id } });
    assert.deepEqual(answer.body, {
      user: { id: site.alice.id },
      authInfo: {
        sessionId: session,
        level: "aal2",
        amr: ["pwd", "otp", "mfa"],
        acr: "aal2",
        auth_time: Math.floor(site.clock.clock().getTime() / 1000),
      },
    });
    assert.deepEqual((await browser.get("/me")).body.user, { id: site.alice.id });
    assert.equal((await browser.get("/vault")).status, 200);
  });

  test(`SE-03, MC-10: the session has a new id at the first step and at the second, and the old ones are dead (${framework})`, async (t) => {
    const site = await openSite(t, {
      framework,
      routes({ app }) {
        app.get("/visit", (req, res) => {
          Object.assign(req.session, { basket: ["tea"] });
          res.json({});
        });
      },
    });
    const browser = site.browser();

    const before = await browser.get("/visit");
    const first = await typePassword(browser, site.alice);
    const second = await browser.post("/code", { code: codeOf(site) });

    const ids = [before.sid, first.sid, second.sid];
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual(Object.keys(await site.stored()), [second.sid]);
  });

  test(`MC-10: a code in a live session raises it under a new id and renews the cookie (${framework})`, async (t) => {
    const site = await openSite(t, { framework });
    const browser = site.browser();
    const before = await logInFully(site, browser);
    site.clock.advance(6 * 60_000);
    const refused = await browser.get("/vault");

    const raised = await browser.post("/code", { code: codeOf(site) });

    assert.match(refused.headers["www-authenticate"] ?? "", /insufficient_user_authentication/);
    assert.deepEqual([raised.status, raised.body.user], [200, { id: site.alice.id }]);
    assert.notEqual(raised.sid, before);
    assert.deepEqual(Object.keys(await site.stored()), [raised.sid]);
    assert.equal((await browser.get("/vault")).status, 200);
  });

  test(`a backup code logs in, and an account without a second factor needs its password alone (${framework})`, async (t) => {
    const site = await openSite(t, { framework });
    const bob = await registerAlice(site.calls, { username: "bob", email: "bob@example.org" });
    const browser = site.browser();
    await typePassword(browser, site.alice);

    const byBackupCode = await browser.post("/code", { code: site.alice.backupCodes[0] });
    const byPassword = await typePassword(site.browser(), bob);

    assert.deepEqual(byBackupCode.body.user, { id: site.alice.id });
    assert.deepEqual(byPassword.body.user, { id: bob.id });
  });
}

test("MC-10: a raised session keeps what the host keeps in it, where a custom callback logs nobody in", async (t) => {
  const site = await openSite(t, {
    routes({ app, authenticate }) {
      app.post("/basket", (req, res) => {
        Object.assign(req.session, { basket: ["tea"] });
        res.json({});
      });
      app.post("/raise", (req, res, next) => {
        authenticate("totp", {}, (error, user) => {
          if (error === null) res.json({ raised: Boolean(user) });
          else next(error);
        })(req, res, next);
      });
    },
  });
  const browser = site.browser();
  const before = await logInFully(site, browser);
  await browser.post("/basket");
  site.clock.advance(30_000);

  const raised = await browser.post("/raise", { code: codeOf(site) });

  assert.deepEqual(raised.body, { raised: true });
  assert.notEqual(raised.sid, before);
  const { polyfactor, ...content } = await storedUnder(site, raised.sid);
  assert.deepEqual(Object.keys(polyfactor ?? {}), ["subject", "session"]);
  assert.deepEqual(content, { passport: { user: { id: site.alice.id } }, basket: ["tea"] });
  assert.deepEqual(Object.keys(await site.stored()), [raised.sid]);
});

test("keepSessionInfo keeps what the host kept and not the pending login that is over", async (t) => {
  const site = await openSite(t, {
    routes({ app, authenticate }) {
      const options = { keepSessionInfo: true, successReturnToOrRedirect: "/home" };
      app.get("/wanted", (req, res) => {
        Object.assign(req.session, { returnTo: "/wanted", basket: ["tea"] });
        res.json({});
      });
      app.post("/code-then-back", authenticate("totp", options));
    },
  });
  const browser = site.browser();
  await typePassword(browser, site.alice);
  await browser.get("/wanted");

  const answer = await browser.post("/code-then-back", { code: codeOf(site) });

  assert.equal(answer.headers.location, "/wanted");
  const { polyfactor, basket } = await storedUnder(site, answer.sid);
  assert.deepEqual(Object.keys(polyfactor ?? {}), ["subject", "session"]);
  assert.deepEqual(basket, ["tea"]);
  assert.equal((await browser.get("/vault")).status, 200);
});

test("MC-03: whose code it is comes from the session, whatever the body says", async (t) => {
  const site = await openSite(t);
  const bob = await registerWithTotp(site, { username: "bob", email: "bob@example.org" });
  const ticket = ticketIn(await logIn(site.calls, bob));
  const browser = site.browser();
  await typePassword(browser, site.alice);
  const untouched = await site.account(bob.id);

  const answer = await browser.post("/code", {
    ...{ username: "bob", user_id: bob.id, subject: bob.id, email: bob.email, ticket },
    code: totpCode(bob.secret, site.clock),
  });

  assert.equal(answer.status, 401);
  assert.deepEqual(await site.account(bob.id), untouched);
  assert.deepEqual((await browser.get("/me")).body.user, null);
});

test("MC-01: whoever begins a login in a session that is logged in is logged out by it", async (t) => {
  const site = await openSite(t);
  const bob = await registerWithTotp(site, { username: "bob", email: "bob@example.org" });
  const browser = site.browser();
  await logInFully(site, browser);

  await typePassword(browser, bob);

  assert.deepEqual((await browser.get("/me")).body.user, null);
  assert.equal((await browser.get("/vault")).status, 401);
});

test("MC-04: a pending login is good for one success, in whichever session it is named", async (t) => {
  const site = await openSite(t, {
    routes({ app, plant }) {
      app.post("/plant", plant);
    },
  });
  const [browser, other] = [site.browser(), site.browser()];
  const { sid } = await typePassword(browser, site.alice);
  const { polyfactor } = await storedUnder(site, sid);
  await other.post("/plant", { value: polyfactor });
  await browser.post("/code", { code: codeOf(site) });
  site.clock.advance(30_000);

  const again = await other.post("/code", { code: codeOf(site) });

  assert.equal(again.status, 401);
  assert.deepEqual((await other.get("/me")).body.user, null);
});

test("SE-08: a session that has ended in the record is over, whatever the host's session says", async (t) => {
  const site = await openSite(t);
  const browser = site.browser();
  await logInFully(site, browser);
  await site.calls.endSessions(site.alice.id);
  site.clock.advance(30_000);

  const raised = await browser.post("/code", { code: codeOf(site) });

  assert.equal(raised.status, 401);
  assert.equal((await browser.get("/vault")).status, 401);
});

test("a code without a login that waits for it is refused and charged to nobody", async (t) => {
  const site = await openSite(t);
  const untouched = await site.account(site.alice.id);

  const answer = await site.browser().post("/code", { code: codeOf(site), username: "alice" });

  assert.deepEqual([answer.status, answer.sid], [401, undefined]);
  assert.deepEqual(await site.account(site.alice.id), untouched);
});

test("a session that holds something else under our key is nobody's", async (t) => {
  const site = await openSite(t, {
    routes({ app, plant }) {
      app.post("/plant", plant);
    },
  });
  const browser = site.browser();
  const subject = site.alice.id;
  const planted = [null, "alice", {}, { subject }, { subject, session: { $ne: 1 } }, [subject]];

  const answers: number[] = [];
  for (const value of planted) {
    await browser.post("/plant", { value });
    answers.push((await browser.get("/vault")).status);
    answers.push((await browser.post("/code", { code: codeOf(site) })).status);
  }

  assert.deepEqual([...new Set(answers)], [401]);
});

test("SE-07: where the session cannot be stored the answer is 503, without cookie and without success", async (t) => {
  class FullStore extends expressSession.MemoryStore {
    full = false;

    override set(...[sid, session, done]: Parameters<expressSession.MemoryStore["set"]>): void {
      if (this.full) setImmediate(() => done?.(new Error("no room")));
      else super.set(sid, session, done);
    }
  }
  const store = new FullStore();
  const site = await openSite(t, { store });
  const browser = site.browser();
  store.full = true;
  const first = await typePassword(browser, site.alice);
  store.full = false;
  await typePassword(browser, site.alice);
  store.full = true;

  const second = await browser.post("/code", { code: codeOf(site) });

  assert.deepEqual([first.status, first.sid, first.headers["retry-after"]], [503, undefined, "1"]);
  assert.deepEqual(
    [second.status, second.sid, second.headers["retry-after"]],
    [503, undefined, "1"],
  );
});

test("a wrong code is told as such and leaves the login pending", async (t) => {
  const site = await openSite(t);
  const browser = site.browser();
  await typePassword(browser, site.alice);

  const wrong = await browser.post("/code", { code: wrongCode(site.alice.secret, site.clock) });
  const right = await browser.post("/code", { code: codeOf(site) });

  assert.deepEqual([wrong.status, right.status], [401, 200]);
});
