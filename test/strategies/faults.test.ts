import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import expressSession from "express-session";
import {
  memoryRecords,
  type FactorsOptions,
  type Records,
  type StandaloneFactors,
} from "../../lib/index.ts";
import { requireSession } from "../../lib/middleware/index.ts";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import { totpCode } from "../support/auth.ts";
import {
  createBreakable,
  failures,
  settleDown,
  watchRejections,
  type Breakable,
  type Failure,
} from "../support/failing.ts";
import { enrolUser, hostPassword, openFactors, type EnrolledUser } from "../support/host-users.ts";
import { openHost, type Answer, type Browser, type OpenHost } from "../support/passport-app.ts";
import { tellUser } from "../support/passport-site.ts";

interface Site extends OpenHost {
  readonly alice: EnrolledUser;
  readonly code: () => string;
  readonly factors: StandaloneFactors;
  readonly parts: Readonly<Record<Part, Breakable>>;
}

const partNames = [
  ...["read", "charge", "commit", "find", "unknownCharge", "throttle", "user"],
  ...["regenerate", "save", "notify", "audit"],
] as const;
type Part = (typeof partNames)[number];

class BreakableStore extends expressSession.MemoryStore {
  private readonly parts: Readonly<Record<Part, Breakable>>;

  constructor(parts: Readonly<Record<Part, Breakable>>) {
    super();
    this.parts = parts;
  }

  override destroy(...[sid, done]: Parameters<expressSession.MemoryStore["destroy"]>): void {
    this.pass("regenerate", done, () => {
      super.destroy(sid, done);
    });
  }

  override set(...[sid, session, done]: Parameters<expressSession.MemoryStore["set"]>): void {
    this.pass("save", done, () => {
      super.set(sid, session, done);
    });
  }

  private pass(part: Part, done: ((error?: unknown) => void) | undefined, work: () => void): void {
    this.parts[part]
      .around(() => {
        work();
        return Promise.resolve();
      })()
      .catch((error: unknown) => done?.(error));
  }
}

/** Alice's app, in which every dependency can be broken. */
async function openBreakableSite(t: TestContext): Promise<Site> {
  const parts = Object.fromEntries(partNames.map((name) => [name, createBreakable()])) as Record<
    Part,
    Breakable
  >;
  const [inner, unknown] = [memoryRecords(), memoryRecords()];
  const options: Partial<FactorsOptions> = {
    find: parts.find.around((name) => Promise.resolve(name === "alice" ? "u1" : null)),
    unknown: { ...unknown, charge: parts.unknownCharge.around((...all) => unknown.charge(...all)) },
    throttle: {
      take: parts.throttle.around(() =>
        Promise.resolve({ allowed: true, limit: 9, remaining: 9, resetAt: 0 }),
      ),
      giveBack: () => Promise.resolve(),
    },
    notify: parts.notify.around(() => Promise.resolve()),
    audit: parts.audit.around(() => Promise.resolve()),
  };
  const records = {
    read: parts.read.around((...all: Parameters<Records["read"]>) => inner.read(...all)),
    charge: parts.charge.around((...all: Parameters<Records["charge"]>) => inner.charge(...all)),
    commit: parts.commit.around((...all: Parameters<Records["commit"]>) => inner.commit(...all)),
  };
  const opened = openFactors(records, options);
  const { factors, clock } = opened;
  const alice = await enrolUser(opened, "u1");
  await factors.setPassword("u1", hostPassword);

  const host = await openHost(t, {
    store: new BreakableStore(parts),
    routes({ app, passport, authenticate }) {
      const user = parts.user.around((id: string) => Promise.resolve({ id }));
      passport.use(new PasswordStrategy(factors, { user }));
      passport.use(new TotpStrategy(factors, { user }));
      passport.use(new BackupCodeStrategy(factors, { user }));
      app.post("/login", authenticate("password"), tellUser);
      app.post("/code", authenticate(["totp", "backup-code"]), tellUser);
      app.get("/vault", requireSession(factors, { level: "aal2" }), (_req, res) => {
        res.json({ open: true });
      });
    },
  });
  return { ...host, factors, alice, parts, code: () => totpCode(alice.secret, clock) };
}

const login = (browser: Browser, username = "alice"): Promise<Answer> =>
  browser.post("/login", { username, password: hostPassword });

const steps = {
  "the password step": {
    before: () => Promise.resolve(),
    take: (_site: Site, browser: Browser) => login(browser),
  },
  "the password step of an unknown name": {
    before: () => Promise.resolve(),
    take: (_site: Site, browser: Browser) => login(browser, "nobody"),
  },
  "the code step": {
    before: (_site: Site, browser: Browser) => login(browser),
    take: (site: Site, browser: Browser) => browser.post("/code", { code: site.code() }),
  },
  "the backup code step": {
    before: (_site: Site, browser: Browser) => login(browser),
    take: ({ alice }: Site, browser: Browser) =>
      browser.post("/code", { code: alice.backupCodes[0] }),
  },
  "a protected route": {
    before: async (site: Site, browser: Browser) => {
      await login(browser);
      await browser.post("/code", { code: site.code() });
    },
    take: (_site: Site, browser: Browser) => browser.get("/vault"),
  },
} as const;
type StepName = keyof typeof steps;

/** Takes a step while a part fails; time passes only where the part would never answer. */
async function takeBroken(
  t: TestContext,
  site: Site,
  { part, step, failure }: { part: Part; step: StepName; failure: Failure },
): Promise<Answer> {
  const { before, take } = steps[step];
  const [browser, broken] = [site.browser(), site.parts[part]];
  await before(site, browser);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  broken.break(failure);

  const answer = take(site, browser);
  await broken.asked;
  if (failure === "never settles") t.mock.timers.tick(15_000);
  const settled = await answer;

  broken.repair();
  t.mock.timers.reset();
  return settled;
}

const fatal: readonly (readonly [Part, StepName])[] = [
  ["find", "the password step"],
  ["throttle", "the password step"],
  ["charge", "the password step"],
  ["unknownCharge", "the password step of an unknown name"],
  ["commit", "the password step"],
  ["regenerate", "the password step"],
  ["save", "the password step"],
  ["throttle", "the code step"],
  ["charge", "the code step"],
  ["commit", "the code step"],
  ["user", "the code step"],
  ["regenerate", "the code step"],
  ["save", "the code step"],
  ["read", "a protected route"],
];

for (const failure of failures) {
  for (const [part, step] of fatal) {
    test(`EX-05, FT-03: ${step} answers 503 where \`${part}\` ${failure}, and works afterwards`, async (t) => {
      const unhandled = watchRejections(t);
      const site = await openBreakableSite(t);

      const answer = await takeBroken(t, site, { part, step, failure });

      await settleDown();
      assert.deepEqual(
        [answer.status, answer.headers["retry-after"], answer.body.code, answer.sid],
        [503, "1", "unavailable", undefined],
      );
      assert.equal(answer.text.includes("a dependency failed"), false);
      assert.deepEqual(unhandled, []);
      const browser = site.browser();
      await login(browser);
      const again = await browser.post("/code", { code: site.alice.backupCodes[1] });
      assert.deepEqual(again.body.user, { id: "u1" });
    });
  }

  for (const part of ["notify", "audit"] as const) {
    test(`EX-05: a login does not wait for \`${part}\`, which ${failure}`, async (t) => {
      const unhandled = watchRejections(t);
      const site = await openBreakableSite(t);
      const browser = site.browser();
      await login(browser);
      site.parts[part].break(failure);
      t.mock.timers.enable({ apis: ["setTimeout"] });

      const answer = await browser.post("/code", { code: site.alice.backupCodes[0] });
      const closed = site.factors.close();
      await site.parts[part].asked;
      t.mock.timers.tick(3000);
      await closed;

      await settleDown();
      assert.deepEqual(answer.body.user, { id: "u1" });
      assert.deepEqual(unhandled, []);
    });
  }
}

test("EX-05: an outcome that comes after the deadline logs nobody in", async (t) => {
  const { factors, clock } = openFactors();
  const alice = await enrolUser({ factors, clock }, "u1");
  const { ticket = "" } = (await factors.begin("u1", {}, {})) as { ticket?: string };
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const reached: string[] = [];
  const host = await openHost(t, {
    routes({ app, authenticate }) {
      const slow = new TotpStrategy(factors, {
        async user(id) {
          reached.push(id);
          await finished;
          return { id };
        },
      });
      app.post("/code", authenticate(slow), (_req, res) => {
        reached.push("the route");
        res.json({});
      });
    },
  });
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const answer = host.browser().post("/code", { ticket, code: totpCode(alice.secret, clock) });
  while (reached.length === 0) await settleDown();
  t.mock.timers.tick(15_000);
  const { status } = await answer;

  finish();
  await settleDown();

  assert.equal(status, 503);
  assert.deepEqual(reached, ["u1"]);
  assert.deepEqual(Object.keys(await host.stored()), []);
});

test("PW-12: logins whose `find` never answers give their hashing slots back", async (t) => {
  const site = await openBreakableSite(t);
  const { find } = site.parts;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  find.break("never settles");
  const stuck = Array.from({ length: 4 }, () => login(site.browser()));
  await find.asked;
  await settleDown();
  t.mock.timers.tick(15_000);
  await Promise.all(stuck);
  find.repair();
  t.mock.timers.reset();

  const answer = await login(site.browser());

  assert.deepEqual([answer.status, answer.body.code], [401, undefined]);
});
