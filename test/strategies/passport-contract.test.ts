import assert from "node:assert/strict";
import { test } from "node:test";
import type { Request } from "express";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import {
  logIn,
  registerAlice,
  ticketIn,
  totpCode,
  wrongCode,
  type Enrolled,
} from "../support/auth.ts";
import type { Answer, Browser } from "../support/passport-app.ts";
import {
  openSite,
  tellUser,
  typePassword,
  type Site,
  type SiteOptions,
} from "../support/passport-site.ts";

const wrongBackupCode = "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA";

async function spendFreeAttempts(browser: Browser): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    await typePassword(browser, { username: "alice", password: "not her password" });
  }
}

test("a refusal without options is Passport's bare 401, and reaches no route", async (t) => {
  const { browser } = await openSite(t);

  const answer = await typePassword(browser(), { username: "alice", password: "not hers" });

  assert.deepEqual([answer.status, answer.text], [401, "Unauthorized"]);
});

test("failureRedirect and failureMessage: every wrong proof leaves the same words", async (t) => {
  const options = { failureRedirect: "/again", failureMessage: true };
  const site = await openSite(t, {
    routes({ app, authenticate }) {
      app.post("/form/login", authenticate("password", options), tellUser);
      app.post("/form/code", authenticate(["totp", "backup-code"], options), tellUser);
    },
  });
  const { alice, clock } = site;
  const [before, after] = [site.browser(), site.browser()];

  await before.post("/form/code", { code: totpCode(alice.secret, clock) });
  await before.post("/form/login", { username: "nobody", password: alice.password });
  await before.post("/form/login", { username: "alice", password: "not hers" });
  await typePassword(after, alice);
  await after.post("/form/code", { code: wrongCode(alice.secret, clock) });
  await after.post("/form/code", { code: wrongBackupCode });
  const last = await after.post("/form/code", { code: "no code at all" });

  assert.deepEqual([last.status, last.headers.location], [302, "/again"]);
  const left = Object.values(await site.stored()).flatMap(({ messages }) => messages);
  assert.deepEqual(left, Array(6).fill("The name, the password or the code is wrong"));
});

test("failureFlash is given words", async (t) => {
  const flashed: unknown[] = [];
  const site = await openSite(t, {
    routes({ app, authenticate }) {
      app.use((req, _res, next) => {
        Object.assign(req, { flash: (...words: unknown[]) => flashed.push(words) });
        next();
      });
      app.post("/flash", authenticate("password", { failureFlash: true }), tellUser);
    },
  });

  await site.browser().post("/flash", { username: "alice", password: "not hers" });

  assert.deepEqual(flashed, [["error", "The name, the password or the code is wrong"]]);
});

test("failWithError hands the error handler a 401", async (t) => {
  const { browser } = await openSite(t, {
    routes({ app, authenticate }) {
      app.post("/strict", authenticate("password", { failWithError: true }), tellUser);
    },
  });

  const answer = await browser().post("/strict", { username: "alice", password: "not hers" });

  assert.deepEqual([answer.status, answer.body], [401, { error: "Unauthorized" }]);
});

test("TH-01, TH-09: over budget is an error with status, headers and nothing about the account", async (t) => {
  const { browser, alice } = await openSite(t);
  await spendFreeAttempts(browser());

  const answer = await typePassword(browser(), alice);

  assert.deepEqual(
    [answer.status, answer.body, answer.headers["retry-after"]],
    [429, { error: "Too many attempts", code: "too_many_attempts" }, "1"],
  );
  assert.equal(answer.headers["cache-control"], "no-store");
  assert.match(answer.headers["content-type"] ?? "", /^application\/json/);
});

test("a custom callback is told of success, failure and error, and answers itself", async (t) => {
  const told: unknown[][] = [];
  const { browser, calls } = await openSite(t, {
    routes({ app, authenticate }) {
      app.post("/own", (req, res, next) => {
        authenticate("password", {}, (error, user, info, status) => {
          const { status: errorStatus } = (error ?? {}) as { status?: number };
          told.push([errorStatus ?? null, user, Object.keys(info ?? {}), status]);
          res.json({});
        })(req, res, next);
      });
    },
  });
  const bob = await registerAlice(calls, { username: "bob", email: "bob@example.org" });
  const { post } = browser();

  await post("/own", { username: "bob", password: bob.password });
  await post("/own", { username: "bob", password: "not his" });
  await spendFreeAttempts(browser());
  await post("/own", { username: "alice", password: "not hers" });

  const loggedIn = ["sessionId", "level", "amr", "acr", "auth_time"];
  assert.deepEqual(told, [
    [null, { id: bob.id }, loggedIn, undefined],
    [null, false, ["message", "code"], 401],
    [429, undefined, [], undefined],
  ]);
});

test("a callback that throws is an error of its request and not the end of the process", async (t) => {
  const { browser } = await openSite(t, {
    routes({ app, authenticate }) {
      app.post("/throws", (req, res, next) => {
        authenticate("password", {}, () => {
          throw new Error("a bug of the host's");
        })(req, res, next);
      });
    },
  });

  const answer = await browser().post("/throws", { username: "alice", password: "not hers" });

  assert.deepEqual([answer.status, answer.body.error], [500, "a bug of the host's"]);
});

/** What Passport would have been told, once for each call. */
async function outcomesOf(
  strategy: { authenticate(req: Request): void },
  req: Request,
): Promise<readonly string[]> {
  const told: string[] = [];
  await new Promise<void>((resolve) => {
    const actions = ["success", "fail", "redirect", "pass", "error"].map((name) => {
      const action = (): void => {
        told.push(name);
        resolve();
      };
      return [name, action] as const;
    });
    (
      Object.assign(Object.create(strategy), Object.fromEntries(actions)) as typeof strategy
    ).authenticate(req);
  });
  await new Promise((resolve) => setImmediate(resolve));
  return told;
}

const requestWith = (body: unknown): Request =>
  ({ body, headers: {}, rawHeaders: [], method: "POST" }) as unknown as Request;

test("MC-01, MC-09: success is told for complete logins only, each request is told one thing, and never to pass", async (t) => {
  const { auth, calls, alice, clock } = await openSite(t);
  const bob = await registerAlice(calls, { username: "bob", email: "bob@example.org" });
  const tenant = "main";
  const password = new PasswordStrategy(auth, { tenant });
  const totp = new TotpStrategy(auth, { tenant });
  const backup = new BackupCodeStrategy(auth, { tenant });
  const named = ({ username, password }: Pick<Enrolled, "username" | "password">) =>
    requestWith({ username, password });
  const withTicket = async (code: string): Promise<Request> =>
    requestWith({ code, ticket: ticketIn(await logIn(calls, alice)) });
  const right = totpCode(alice.secret, clock);

  const outcomes = [
    await outcomesOf(password, named(alice)),
    await outcomesOf(password, named({ ...alice, password: "not hers" })),
    await outcomesOf(password, requestWith(undefined)),
    await outcomesOf(password, named(bob)),
    await outcomesOf(totp, requestWith({ code: right })),
    await outcomesOf(totp, await withTicket(wrongCode(alice.secret, clock))),
    await outcomesOf(totp, await withTicket(alice.backupCodes[0] ?? "")),
    await outcomesOf(totp, await withTicket(right)),
    await outcomesOf(backup, await withTicket(wrongBackupCode)),
    await outcomesOf(backup, await withTicket(alice.backupCodes[0] ?? "")),
  ];

  const expected = [
    ...["fail", "fail", "fail", "success", "fail", "fail", "fail", "success", "fail", "success"],
  ];
  assert.deepEqual(
    outcomes,
    expected.map((name) => [name]),
  );
});

interface HostUser {
  readonly number: number;
  readonly name: string;
}

interface HostUser {
  readonly number: number;
  readonly name: string;
}

/** Routes whose strategies have a `user` option, names of their own and other fields; failures are told as JSON. */
function ownRoutes(user: (subject: string) => HostUser | null): NonNullable<SiteOptions["routes"]> {
  return ({ app, passport, authenticate }, { auth }) => {
    const shared = { tenant: "main", user };
    const names = { nameField: "email", passwordField: "passphrase" };
    passport.use(new PasswordStrategy(auth, { ...shared, ...names, name: "first" }));
    passport.use(new TotpStrategy(auth, { ...shared, name: "second", codeField: "otp" }));
    for (const [path, name] of Object.entries({ "/own/login": "first", "/own/code": "second" })) {
      app.post(path, (req, res, next) => {
        authenticate(name, {}, (error, found, info) => {
          if (error !== null) next(error);
          else if (!found) res.status(401).json(info);
          else req.logIn(found, next);
        })(req, res, next);
      });
      app.post(path, tellUser);
    }
  };
}

async function logInOverOwnRoutes(site: Site, browser: Browser): Promise<readonly Answer[]> {
  const { email, password, secret } = site.alice;
  return [
    await browser.post("/own/login", { email, passphrase: password }),
    await browser.post("/own/code", { otp: totpCode(secret, site.clock) }),
  ];
}

test("the `user` option says what becomes req.user, and the host's serializers keep it", async (t) => {
  const users = new Map<string, HostUser>();
  const site = await openSite(t, {
    routes: ownRoutes((subject) => users.get(subject) ?? null),
    serializers: {
      serialize: (user) => (user as HostUser).number,
      deserialize: (stored) => [...users.values()].find(({ number }) => number === stored),
    },
  });
  const user = { number: 7, name: "Alice" };
  users.set(site.alice.id, user);
  const browser = site.browser();

  const [, answer] = await logInOverOwnRoutes(site, browser);

  assert.deepEqual(answer?.body.user, user);
  assert.deepEqual((await browser.get("/me")).body.user, user);
  const [stored] = Object.values(await site.stored());
  assert.deepEqual(stored?.passport, { user: 7 });
  assert.equal((await browser.get("/vault")).status, 200);
});

for (const nothing of [null, undefined, false]) {
  test(`a \`user\` option that answers ${String(nothing)} refuses, in the words of a wrong code`, async (t) => {
    const site = await openSite(t, { routes: ownRoutes(() => nothing as null) });
    const browser = site.browser();

    const [first, second] = await logInOverOwnRoutes(site, browser);

    assert.deepEqual(
      [first?.status, first?.body.code, first?.body.message],
      [401, "second_factor_required", "A second factor is required"],
    );
    assert.deepEqual(second?.body, {
      code: "invalid_credentials",
      message: "The name, the password or the code is wrong",
    });
    assert.deepEqual((await browser.get("/me")).body.user, null);
    assert.equal((await browser.get("/vault")).status, 401);
  });
}
