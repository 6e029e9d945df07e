import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import mongoose from "mongoose";
import {
  createFactors,
  memoryRecords,
  mongoRecords,
  type FactorsOptions,
  type Records,
} from "../../lib/index.ts";
import { authOf, beginLogin, contextOf, requireSession } from "../../lib/middleware/index.ts";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import {
  atOnce,
  browser as context,
  refusal,
  testKeys,
  totpCode,
  wrongCode,
} from "../support/auth.ts";
import { openDatabase } from "../support/database.ts";
import {
  actingOn,
  enrolUser,
  hostPassword,
  openFactors,
  type OpenedFactors,
} from "../support/host-users.ts";
import { openHost, type OpenHost } from "../support/passport-app.ts";
import { tellUser } from "../support/passport-site.ts";

/** A host's users: where they are, and what the library keeps of one. */
interface Users {
  readonly records: Records;
  /** Budgets of names that nobody has. */
  readonly unknown: Records;
  /** The id of Uma, whom the host knows as `uma@example.org`. */
  readonly uma: string;
  readonly find: (name: string) => Promise<string | null>;
  /** What the host stored of Uma itself. */
  ownFields(): Promise<unknown>;
}

const umasFields = { email: "uma@example.org", name: "Uma", address: { city: "Turku" } };

const stores: Readonly<Record<string, (t: TestContext) => Promise<Users>>> = {
  memory: () =>
    Promise.resolve({
      records: memoryRecords(),
      unknown: memoryRecords(),
      uma: "u1",
      find: (name) => Promise.resolve(name === umasFields.email ? "u1" : null),
      ownFields: () => Promise.resolve(umasFields),
    }),
  mongoose: openMongooseUsers,
};

/** Users of a mongoose model that declares none of our fields. */
async function openMongooseUsers(t: TestContext): Promise<Users> {
  const { connection } = await openDatabase(t);
  const schema = new mongoose.Schema({
    email: String,
    name: String,
    address: { city: String },
  });
  const User = connection.model("User", schema);
  const { id } = await User.create(umasFields);
  return {
    records: mongoRecords(User.collection, {
      at: "mfa",
      id: (subject) => new mongoose.Types.ObjectId(subject),
    }),
    unknown: mongoRecords(connection.collection<{ _id: string }>("unknown_names"), {
      create: true,
    }),
    uma: id,
    async find(name) {
      const user = await User.findOne({ email: name }).exec();
      return user === null ? null : user.id;
    },
    async ownFields() {
      const { email, name, address } = (await User.findById(id).lean().exec()) ?? {};
      return { email, name, address };
    },
  };
}

/** An app of a host with users of its own: its own first factor at `/login`, ours behind it. */
async function openApp(
  t: TestContext,
  { factors }: OpenedFactors,
  { uma, find }: Users,
): Promise<OpenHost> {
  return openHost(t, {
    routes({ app, passport, authenticate }) {
      const user = (id: string) => ({ id, name: id === uma ? "Uma" : "?" });
      passport.use(new TotpStrategy(factors, { user }));
      passport.use(new BackupCodeStrategy(factors, { user }));
      app.post("/login", async (req, res) => {
        const { email } = req.body as { email: string };
        const { status } = await beginLogin(req, factors, (await find(email)) ?? "", {
          amr: ["pwd"],
        });
        res.json({ status });
      });
      app.post("/code", authenticate(["totp", "backup-code"]), tellUser);
      app.get("/me", tellUser);
      app.get("/status", requireSession(factors), (req, res) => {
        res.json(factors.status(authOf(req).acting));
      });
      app.post("/app", requireSession(factors), async (req, res) => {
        const { acting } = authOf(req);
        res.json(await factors.enrolTotp(acting, { backupCodes: "long" }, contextOf(req)));
      });
      app.post("/app/confirm", requireSession(factors), async (req, res) => {
        const { code } = req.body as { code: string };
        await factors.confirmTotp(authOf(req).acting, { code }, contextOf(req));
        res.json({});
      });
      const fresh = requireSession(factors, { level: "aal2", maxAge: 300 });
      app.post("/app/remove", fresh, async (req, res) => {
        await factors.removeTotp(authOf(req).acting, {}, contextOf(req));
        res.json({});
      });
    },
  });
}

for (const [name, open] of Object.entries(stores)) {
  test(`a host's own users: set-up, login, step-up and removal, and no field of the host's is touched (${name})`, async (t) => {
    const users = await open(t);
    const opened = openFactors(users.records);
    const { clock } = opened;
    const host = await openApp(t, opened, users);
    const [first, second] = [host.browser(), host.browser()];
    const { email } = umasFields;

    const without = await first.post("/login", { email });
    const setup = await first.post("/app");
    const code = (): string => totpCode(String(setup.body.secret), clock);
    const confirmed = await first.post("/app/confirm", { code: code() });
    clock.advance(30_000);
    const pending = await second.post("/login", { email });
    const complete = await second.post("/code", { code: code() });
    clock.advance(10 * 60_000);
    const tooOld = await second.post("/app/remove");
    const raised = await second.post("/code", { code: code() });
    const status = await second.get("/status");
    const removed = await second.post("/app/remove");
    const after = await second.get("/status");

    assert.deepEqual([without.body.status, pending.body.status], ["complete", "pending"]);
    assert.equal(confirmed.status, 200);
    assert.deepEqual(complete.body.user, { id: users.uma, name: "Uma" });
    assert.equal(tooOld.body.code, "step_up_required");
    assert.equal(raised.status, 200);
    assert.deepEqual(status.body.methods, ["totp", "backup_code"]);
    assert.equal(removed.status, 200);
    assert.deepEqual(after.body, {
      ...{ enabled: false, methods: [], totp: [], backupCodesRemaining: 0 },
    });
    assert.deepEqual(await users.ownFields(), umasFields);
    assert.equal((await first.get("/status")).status, 401);
  });

  test(`SE-03, SE-10: a host's own login leaves ids in a new session, before and after the code (${name})`, async (t) => {
    const users = await open(t);
    const opened = openFactors(users.records);
    const host = await openApp(t, opened, users);
    const { secret } = await enrolUser(opened, users.uma);
    const browser = host.browser();

    const first = await browser.post("/login", { email: umasFields.email });
    const pending = await host.stored();
    const second = await browser.post("/code", { code: totpCode(secret, opened.clock) });

    const complete = await host.stored();
    const kept = [pending[first.sid ?? ""], complete[second.sid ?? ""]].map(
      (session) => session?.polyfactor,
    );
    assert.notEqual(first.sid, second.sid);
    assert.deepEqual(Object.keys(complete), [second.sid]);
    assert.deepEqual(
      kept.map((ids) => Object.keys(ids ?? {})),
      [
        ["subject", "pending"],
        ["subject", "session"],
      ],
    );
  });

  test(`backup codes: each is good once, new ones end the old (${name})`, async (t) => {
    const users = await open(t);
    const opened = openFactors(users.records);
    const { factors } = opened;
    const { acting, backupCodes } = await enrolUser(opened, users.uma);
    const [one = "", other = ""] = backupCodes;
    const spend = async (code: string) => {
      const progress = await factors.begin(users.uma, {}, context);
      assert.ok(progress.status === "pending");
      const submission = { choice: { methods: ["backup_code"] as const }, proof: { code } };
      return factors.submit(progress.ticket, submission, context);
    };

    const progress = await spend(one);
    const again = await refusal(spend(one));
    await factors.replaceBackupCodes(acting, "long", context);
    const old = await refusal(spend(other));

    assert.deepEqual(progress.status === "complete" && progress.session.amr, ["otp", "mfa"]);
    assert.deepEqual([again, old], ["invalid_code", "invalid_code"]);
  });

  test(`EN-01, EN-04: passwords of a host's own users: one answer and one budget for all names (${name})`, async (t) => {
    const users = await open(t);
    const { records, unknown, uma, find } = users;
    const opened = openFactors(records, { find, unknown });
    const { factors } = opened;
    await factors.setPassword(uma, hostPassword);
    const host = await openHost(t, {
      routes({ app, passport, authenticate }) {
        passport.use(new PasswordStrategy(factors, { nameField: "email" }));
        app.post("/login", authenticate("password"), tellUser);
      },
    });
    const { post } = host.browser();
    const tries = async (email: string): Promise<readonly number[]> => {
      const statuses: number[] = [];
      for (let attempt = 0; attempt < 6; attempt += 1) {
        statuses.push((await post("/login", { email, password: "not the password" })).status);
      }
      return statuses;
    };

    const right = await post("/login", { email: umasFields.email, password: hostPassword });
    const known = await tries(umasFields.email);
    const nobody = await tries("nobody@example.org");

    assert.deepEqual(right.body.user, { id: uma });
    assert.deepEqual(known, [401, 401, 401, 401, 401, 429]);
    assert.deepEqual(nobody, known);
  });

  test(`PW-11: a new password ends the sessions of a host's user (${name})`, async (t) => {
    const users = await open(t);
    const { factors } = openFactors(users.records);
    const acting = await actingOn(factors, await factors.begin(users.uma, {}, context));

    await factors.setPassword(users.uma, hostPassword);

    const named = { subject: acting.subject, sessionId: acting.sessionId };
    assert.equal(await refusal(factors.findSession(named, {}, context)), "invalid_token");
    assert.equal(await refusal(factors.setPassword(users.uma, "short")), "password_too_short");
  });

  test(`MC-09: a user whose second factor policy demands gets a session that may only set one up (${name})`, async (t) => {
    const users = await open(t);
    const opened = openFactors(users.records, { policy: { secondFactor: "required" } });
    const host = await openApp(t, opened, users);
    const browser = host.browser();
    await browser.post("/login", { email: umasFields.email });

    const answer = await browser.get("/status");

    assert.deepEqual([answer.status, answer.body.code], [403, "enrolment_required"]);
  });
}

test("TO-04: fifty requests at once with one code log a host's user in once", async (t) => {
  const users = await openMongooseUsers(t);
  const opened = openFactors(users.records);
  const { factors, clock } = opened;
  const { secret } = await enrolUser(opened, users.uma);

  const rounds: unknown[] = [];
  for (let round = 0; round < 5; round += 1) {
    const pending = await Promise.all(atOnce(5, () => begun(opened, users.uma)));
    const code = totpCode(secret, clock);
    const submission = { choice: { methods: ["totp"] as const }, proof: { code } };
    const outcomes = await Promise.allSettled(
      atOnce(50, (index) => factors.submit(pending[index % 5] ?? "", submission, context)),
    );
    rounds.push(outcomes.filter(({ status }) => status === "fulfilled").length);
    clock.advance(30_000);
  }

  assert.deepEqual(rounds, Array(5).fill(1));
});

test("TH-02: of fifty wrong codes at once five are evaluated on a host's user", async (t) => {
  const users = await openMongooseUsers(t);
  const opened = openFactors(users.records);
  const { factors, clock } = opened;
  const { secret } = await enrolUser(opened, users.uma);
  const pending = await Promise.all(atOnce(10, () => begun(opened, users.uma)));
  const submission = {
    choice: { methods: ["totp"] as const },
    proof: { code: wrongCode(secret, clock) },
  };

  const codes = await Promise.all(
    atOnce(50, (index) => refusal(factors.submit(pending[index % 10] ?? "", submission, context))),
  );

  assert.equal(codes.filter((code) => code === "invalid_code").length, 5);
  assert.equal(codes.filter((code) => code === "too_many_attempts").length, 45);
});

async function begun({ factors }: OpenedFactors, subject: string): Promise<string> {
  const progress = await factors.begin(subject, {}, context);
  assert.ok(progress.status === "pending");
  return progress.ticket;
}

test("a subject that is nobody, or no id of the host's, is refused without a trace", async (t) => {
  const users = await openMongooseUsers(t);
  const { factors } = openFactors(users.records);

  const nobody = await refusal(factors.begin("0123456789abcdef01234567", {}, context));
  const noId = await refusal(factors.begin("not an object id", {}, context));

  assert.deepEqual([nobody, noId], ["invalid_credentials", "invalid_input"]);
});

test("Passport's logIn after a complete beginLogin keeps our session", async (t) => {
  const { factors } = openFactors();
  const host = await openHost(t, {
    routes({ app }) {
      app.post("/login", async (req, res, next) => {
        const { status } = await beginLogin(req, factors, "u1");
        req.logIn({ id: "u1" }, (error: unknown) => {
          if (error) next(error);
          else res.json({ status });
        });
      });
      app.get("/inside", requireSession(factors), tellUser);
    },
  });
  const browser = host.browser();

  const answer = await browser.post("/login");

  assert.equal(answer.body.status, "complete");
  assert.deepEqual((await browser.get("/inside")).body.user, { id: "u1" });
});

const right: FactorsOptions = { records: memoryRecords(), keys: testKeys, issuer: "Example" };
const find = () => Promise.resolve(null);
const wrong: Readonly<Record<string, readonly [RegExp, object]>> = {
  "no records": [/^records: /, { records: undefined }],
  "records without commit": [/^records: /, { records: { ...right.records, commit: undefined } }],
  "no keys": [/^keys/, { keys: undefined }],
  "a short key": [/^keys/, { keys: [{ id: "k1", secret: "short" }] }],
  "no issuer": [/^issuer: /, { issuer: undefined }],
  "find alone": [/^unknown: /, { find }],
  "unknown alone": [/^find: /, { unknown: memoryRecords() }],
  "a policy that is none": [/^policy\.secondFactor: /, { policy: { secondFactor: "sometimes" } }],
};

for (const [what, [message, change]] of Object.entries(wrong)) {
  test(`CR-04: ${what}: a TypeError at start names the option`, () => {
    assert.throws(() => createFactors({ ...right, ...change }), { name: "TypeError", message });
  });
}

test("CR-04: strategies on createAuth name the tenant they miss", () => {
  const auth = { tenant: () => assert.fail("no tenant was given") } as never;

  assert.throws(() => new TotpStrategy(auth), { name: "TypeError", message: /^tenant: / });
});

test("CR-04: a password strategy on factors without names is a TypeError at start", () => {
  const { factors } = openFactors();

  assert.throws(() => new PasswordStrategy(factors), { name: "TypeError", message: /^find: / });
});

test("EN-04: a `find` that answers undefined, as `?.id` does, knows nobody", async () => {
  const find = () => Promise.resolve(undefined as unknown as null);
  const { factors } = openFactors(memoryRecords(), { find, unknown: memoryRecords() });
  const logIn = (name: string) => refusal(factors.login(name, { password: hostPassword }, context));
  for (let attempt = 0; attempt < 6; attempt += 1) await logIn("nobody");

  const another = await logIn("somebody");

  assert.equal(another, "invalid_credentials");
});

test("the record holds no seed, code or ticket in clear", async (t) => {
  const users = await openMongooseUsers(t);
  const opened = openFactors(users.records);
  const { secret, backupCodes } = await enrolUser(opened, users.uma);
  const ticket = await begun(opened, users.uma);

  const stored = JSON.stringify(await users.records.read(users.uma));

  const [, , ticketSecret = ""] = Buffer.from(ticket, "base64url").toString().split("\n");
  const leaks = [secret, ticketSecret, ...backupCodes].filter((text) => stored.includes(text));
  assert.deepEqual(leaks, []);
});
