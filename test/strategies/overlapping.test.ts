import assert from "node:assert/strict";
import { test } from "node:test";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import { registerAlice, totpCode, wrongCode } from "../support/auth.ts";
import { tellUser, openSite, typePassword, type SiteOptions } from "../support/passport-site.ts";

/** A gate that stays shut until it is opened, and says when somebody stands before it. */
function createGate(): { pass(): Promise<void>; reached: Promise<void>; open(): void } {
  let [open, arrive] = [(): void => undefined, (): void => undefined];
  const opened = new Promise<void>((resolve) => (open = resolve));
  const reached = new Promise<void>((resolve) => (arrive = resolve));
  return {
    reached,
    open,
    pass() {
      arrive();
      return opened;
    },
  };
}

test("one instance logs two overlapping users in, each as themselves", async (t) => {
  const gate = createGate();
  const site = await openSite(t, {
    routes({ app, authenticate }, { auth }) {
      const shared = new PasswordStrategy(auth, {
        tenant: "main",
        async user(id, req) {
          if ((req.body as { username: string }).username === "carol") await gate.pass();
          return { id };
        },
      });
      app.post("/shared", authenticate(shared), tellUser);
    },
  });
  const carol = await registerAlice(site.calls, { username: "carol", email: "c@example.org" });
  const bob = await registerAlice(site.calls, { username: "bob", email: "b@example.org" });
  const [carols, bobs] = [site.browser(), site.browser()];
  const { password } = carol;

  const slow = carols.post("/shared", { username: "carol", password });
  await gate.reached;
  const quick = await bobs.post("/shared", { username: "bob", password: bob.password });
  gate.open();
  const late = await slow;

  assert.deepEqual([quick.body.user, late.body.user], [{ id: bob.id }, { id: carol.id }]);
  assert.deepEqual((await bobs.get("/me")).body.user, { id: bob.id });
  assert.deepEqual((await carols.get("/me")).body.user, { id: carol.id });
});

test("one instance refuses one user while another, who overlaps, gets in", async (t) => {
  const gate = createGate();
  const site = await openSite(t, {
    routes({ app, authenticate }, { auth }) {
      const shared = new PasswordStrategy(auth, {
        tenant: "main",
        async user(id) {
          await gate.pass();
          return { id };
        },
      });
      app.post("/shared", authenticate(shared), tellUser);
    },
  });
  const { id, password } = await registerAlice(site.calls, {
    ...{ username: "bob", email: "b@example.org" },
  });
  const [bobs, strangers] = [site.browser(), site.browser()];

  const slow = bobs.post("/shared", { username: "bob", password });
  await gate.reached;
  const refused = await strangers.post("/shared", { username: "bob", password: "not his" });
  gate.open();

  assert.equal(refused.status, 401);
  assert.deepEqual((await slow).body.user, { id });
  assert.deepEqual((await strangers.get("/me")).body.user, null);
});

const orders: Readonly<Record<string, readonly string[]>> = {
  "totp, backup-code": ["totp", "backup-code"],
  "backup-code, totp": ["backup-code", "totp"],
  "password, totp, backup-code": ["password", "totp", "backup-code"],
  "backup-code, totp, password": ["backup-code", "totp", "password"],
};

for (const [order, names] of Object.entries(orders)) {
  const routes: SiteOptions["routes"] = ({ app, authenticate }) => {
    app.post("/any", authenticate([...names], { failureMessage: true }), tellUser);
  };

  test(`TH-06: a mistyped TOTP code costs one charge and gives one message (${order})`, async (t) => {
    const site = await openSite(t, { routes });
    const browser = site.browser();
    await typePassword(browser, site.alice);
    const { budgets: before } = await site.account(site.alice.id);

    const code = wrongCode(site.alice.secret, site.clock);
    const answer = await browser.post("/any", { code });

    const { budgets, pending = {} } = await site.account(site.alice.id);
    assert.equal(answer.status, 401);
    assert.deepEqual([budgets?.second?.fails, budgets?.code?.fails], [1, 1]);
    assert.deepEqual([budgets?.backup, budgets?.password], [before?.backup, before?.password]);
    assert.deepEqual(
      Object.values(pending).map(({ tries }) => tries),
      [1],
    );
    const left = Object.values(await site.stored()).flatMap(({ messages }) => messages);
    assert.deepEqual(left, ["The name, the password or the code is wrong"]);
  });

  test(`BC-06: a mistyped backup code costs one charge, and none of the short codes (${order})`, async (t) => {
    const site = await openSite(t, { routes });
    const browser = site.browser();
    await typePassword(browser, site.alice);

    const answer = await browser.post("/any", { code: "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA" });

    const { budgets } = await site.account(site.alice.id);
    assert.equal(answer.status, 401);
    assert.deepEqual([budgets?.second?.fails, budgets?.backup?.fails], [1, 1]);
    assert.equal(budgets?.code?.fails, 0);
  });

  test(`either code logs in, at no cost (${order})`, async (t) => {
    const site = await openSite(t, { routes });
    const [first, second] = [site.browser(), site.browser()];
    await typePassword(first, site.alice);
    await typePassword(second, site.alice);

    const { secret, backupCodes, id } = site.alice;
    const byApp = await first.post("/any", { code: totpCode(secret, site.clock) });
    const byBackup = await second.post("/any", { code: backupCodes[0] });

    assert.deepEqual([byApp.body.user, byBackup.body.user], [{ id }, { id }]);
    const { budgets } = await site.account(id);
    const fails = [budgets?.second?.fails, budgets?.code?.fails, budgets?.backup?.fails];
    assert.deepEqual(fails, [0, 0, 0]);
  });
}

test("TH-02: a code of the other factor's form is refused by a strategy alone, without a charge", async (t) => {
  const site = await openSite(t, {
    routes({ app, authenticate }, { auth }) {
      const tenant = "main";
      app.post("/totp", authenticate(new TotpStrategy(auth, { tenant })), tellUser);
      app.post("/backup", authenticate(new BackupCodeStrategy(auth, { tenant })), tellUser);
    },
  });
  const browser = site.browser();
  await typePassword(browser, site.alice);
  const untouched = await site.account(site.alice.id);

  const answers = [
    await browser.post("/totp", { code: site.alice.backupCodes[0] }),
    await browser.post("/backup", { code: totpCode(site.alice.secret, site.clock) }),
  ];

  assert.deepEqual(
    answers.map(({ status }) => status),
    [401, 401],
  );
  assert.deepEqual(await site.account(site.alice.id), untouched);
});

test("MC-05: fifty right codes at once, from ten browsers, log in once", async (t) => {
  const site = await openSite(t);
  const { alice, clock } = site;
  const browsers = await Promise.all(
    Array.from({ length: 10 }, async () => {
      const browser = site.browser();
      await typePassword(browser, alice);
      return browser;
    }),
  );
  const { sessions: before = {} } = await site.account(alice.id);
  const code = totpCode(alice.secret, clock);

  const answers = await Promise.all(
    browsers.flatMap((browser) => Array.from({ length: 5 }, () => browser.post("/code", { code }))),
  );

  const statuses = answers.map(({ status }) => status);
  const { sessions: after = {} } = await site.account(alice.id);
  assert.equal(statuses.filter((status) => status === 200).length, 1);
  assert.equal(statuses.filter((status) => ![200, 401, 429].includes(status)).length, 0);
  assert.equal(Object.keys(after).length, Object.keys(before).length + 1);
});
