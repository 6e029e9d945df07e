import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AuthError,
  createAuth,
  createFactors,
  memoryRecords,
  type AuditEvent,
  type Message,
} from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import {
  actingIn,
  anyMethod,
  atOnce,
  browser,
  createOutbox,
  logIn,
  openAuth,
  refusal,
  refusalOf,
  registerAlice,
  registerWithTotp,
  submitCode,
  tally,
  testKeys,
  ticketIn,
  totpCode,
  type Enrolled,
} from "../support/auth.ts";
import { openFaultyAuth, type Fault, type FaultyAuth } from "../support/faults.ts";

const CHARGE = ["findAndModify"];
const COMMIT = ["update"];
const all = ["find", "findAndModify", "update", "insert", "delete"];

/** Longer than the driver tries: it repeats a write once. */
const faults: readonly [string, Omit<Fault, "failCommands">][] = [
  ["the connection is cut", { closeConnection: true }],
  ["the primary shuts down (91)", { errorCode: 91 }],
  ["the primary steps down (189)", { errorCode: 189 }],
  ["the server is interrupted (11600)", { errorCode: 11600 }],
  ["the server lacks a permission (13)", { errorCode: 13 }],
];

/** How a refusal is told to whoever waits for an answer. */
async function told(work: Promise<unknown>): Promise<object> {
  const { code, retryAfter } = await refusalOf(work);
  return { code, retry: retryAfter !== undefined && retryAfter > 0 };
}

const unavailable = { code: "unavailable", retry: true };

async function sessionsOf(opened: FaultyAuth, id: string): Promise<number> {
  return Object.keys((await opened.account(id)).sessions ?? {}).length;
}

for (const [what, fault] of faults) {
  test(`FT-01: a login whose charge fails because ${what} evaluates nothing and says so`, async (t) => {
    const opened = await openFaultyAuth(t);
    const alice = await registerAlice(opened.calls);
    await opened.fail({ failCommands: CHARGE, ...fault });

    const answer = await told(logIn(opened.calls, alice));

    assert.deepEqual(answer, unavailable);
    assert.deepEqual([opened.hasher.verified, await sessionsOf(opened, alice.id)], [0, 0]);
  });

  test(`FT-01, C-5: a login whose commit fails because ${what} opens no session and stays paid for`, async (t) => {
    const opened = await openFaultyAuth(t);
    const alice = await registerAlice(opened.calls);
    await opened.fail({ failCommands: COMMIT, ...fault });

    const answer = await told(logIn(opened.calls, alice));

    await opened.heal();
    assert.deepEqual(answer, unavailable);
    const { sessions, budgets } = await opened.account(alice.id);
    assert.deepEqual([sessions, budgets?.password?.fails], [undefined, 1]);
    const [last] = (await opened.auditEvents()).slice(-1);
    assert.deepEqual([last?.type, last?.outcome], ["login", "unknown"]);
  });

  test(`FT-01, C-5: a code whose commit fails because ${what} opens no session`, async (t) => {
    const opened = await openFaultyAuth(t);
    const alice = await registerWithTotp(opened);
    const ticket = ticketIn(await logIn(opened.calls, alice));
    await opened.fail({ failCommands: COMMIT, ...fault });

    const answer = await told(
      submitCode(opened.calls, ticket, totpCode(alice.secret, opened.clock)),
    );

    assert.deepEqual(answer, unavailable);
    assert.equal(await sessionsOf(opened, alice.id), 1);
  });

  test(`FT-01: a bearer check that fails because ${what} lets nobody in`, async (t) => {
    const opened = await openFaultyAuth(t);
    const { calls } = opened;
    const person = await registerAlice(calls);
    const acting = await actingIn(calls, await logIn(calls, person));
    const token = await calls.accessToken(person.id, calls.session(acting));
    await opened.fail({ failCommands: ["find"], ...fault });

    const answer = await told(calls.authenticate(token, {}, browser));

    assert.deepEqual(answer, unavailable);
  });
}

for (const [what, fault] of faults.slice(0, 4)) {
  test(`C-5: a commit that fails once because ${what} is repeated by the driver, once, and spends the code once`, async (t) => {
    const opened = await openFaultyAuth(t);
    const alice = await registerWithTotp(opened);
    const ticket = ticketIn(await logIn(opened.calls, alice));
    const code = totpCode(alice.secret, opened.clock);
    await opened.fail({ failCommands: COMMIT, ...fault }, { times: 1 });

    const first = await submitCode(opened.calls, ticket, code);
    const again = await refusal(submitCode(opened.calls, ticket, code));

    assert.deepEqual([first.status, again], ["complete", "invalid_ticket"]);
  });
}

const unsure = { code: 64, codeName: "WriteConcernFailed", errmsg: "waiting timed out" };

test("C-5: a charge that no majority acknowledged in time evaluates nothing", async (t) => {
  const opened = await openFaultyAuth(t);
  const alice = await registerAlice(opened.calls);
  await opened.fail({ failCommands: CHARGE, writeConcernError: unsure });

  const answer = await told(logIn(opened.calls, alice));

  assert.deepEqual(answer, unavailable);
  assert.equal(opened.hasher.verified, 0);
});

test("C-5: a commit that no majority acknowledged in time opens its session once a majority read shows it", async (t) => {
  const opened = await openFaultyAuth(t);
  const alice = await registerAlice(opened.calls);
  await opened.fail({ failCommands: COMMIT, writeConcernError: unsure });
  // The injected error comes before the majority does: the read that looks for proof is held back for it.
  opened.connection.getClient().on("commandStarted", ({ commandName }) => {
    if (commandName === "find") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
  });

  const progress = await logIn(opened.calls, alice);

  assert.ok(progress.status === "complete");
  const { sessions = {} } = await opened.account(alice.id);
  assert.deepEqual(Object.keys(sessions), [progress.session.id]);
});

test("C-5: a wrong password is not let in by a commit that never was", async (t) => {
  const opened = await openFaultyAuth(t);
  const alice = await registerAlice(opened.calls);
  await opened.fail({ failCommands: COMMIT, writeConcernError: unsure });

  const wrong = { ...alice, password: "not the password of anybody" };

  assert.equal(await refusal(logIn(opened.calls, wrong)), "invalid_credentials");
  assert.equal(await sessionsOf(opened, alice.id), 0);
});

test("C-5, FT-04: a commit whose outcome cannot be read either is denied, and its code stays spent", async (t) => {
  const opened = await openFaultyAuth(t, {}, { deadline: 200 });
  const alice = await registerWithTotp(opened);
  const [ticket, other] = [await logIn(opened.calls, alice), await logIn(opened.calls, alice)];
  const code = totpCode(alice.secret, opened.clock);
  await opened.mails();
  const late = { blockConnection: true, blockTimeMS: 600 };
  await opened.fail({ failCommands: [...COMMIT, "find"], ...late });

  const answer = await told(submitCode(opened.calls, ticketIn(ticket), code));
  await opened.heal();
  while ((await sessionsOf(opened, alice.id)) < 2);
  const again = await refusal(submitCode(opened.calls, ticketIn(other), code));

  assert.deepEqual([answer, again], [unavailable, "invalid_code"]);
});

/** Everything that writes, on an account that is enrolled. */
const writers: readonly [string, (opened: FaultyAuth, alice: Enrolled) => Promise<unknown>][] = [
  [
    "a registration",
    ({ calls }) => registerAlice(calls, { username: "bob", email: "b@example.org" }),
  ],
  ["a foreign first factor", ({ calls }, { id }) => calls.begin(id, {}, browser)],
  ["a set-up", ({ calls }, { acting }) => calls.enrolTotp(acting, {}, browser)],
  ["a removal", ({ calls }, { acting }) => calls.removeTotp(acting, {}, browser)],
  [
    "new backup codes",
    ({ calls }, { acting }) => calls.replaceBackupCodes(acting, "long", browser),
  ],
  [
    "a new profile",
    ({ calls }, { acting }) => calls.updateProfile(acting, { firstName: "A" }, browser),
  ],
  [
    "the end of sessions",
    ({ calls }, { acting }) => calls.revokeSessions(acting, { keepOwn: false }, browser),
  ],
  ["a disabling", ({ calls }, { id }) => calls.disable(id)],
  ["a deletion", ({ calls }, { id }) => calls.remove(id)],
];
for (const [what, write] of writers) {
  test(`FT-01: ${what} that the database does not take is unavailable, and the account is as it was`, async (t) => {
    const opened = await openFaultyAuth(t);
    const alice = await registerWithTotp(opened);
    await opened.mails();
    const before = await opened.account(alice.id);
    await opened.fail({
      failCommands: ["findAndModify", "update", "insert", "delete"],
      errorCode: 91,
    });

    const answer = await told(write(opened, alice));

    await opened.heal();
    assert.deepEqual(answer, unavailable);
    assert.deepEqual(await opened.account(alice.id), before);
  });
}

test("FT-01: a rotation that the database does not take gives no successor", async (t) => {
  const opened = await openFaultyAuth(t);
  const { calls } = opened;
  const alice = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, alice));
  const token = await calls.refreshToken(alice.id, calls.session(acting));
  await opened.fail({ failCommands: CHARGE, errorCode: 91 });

  const answer = await told(calls.refresh(token, { rotate: true }, browser));

  await opened.heal();
  assert.deepEqual(answer, unavailable);
  assert.ok((await calls.refresh(token, { rotate: true }, browser)).refreshToken);
});

const deadline = 300;
const blackHole = { failCommands: all, blockConnection: true, blockTimeMS: 2500 };

for (const [what, failCommands] of [
  ["charge", CHARGE],
  ["commit", COMMIT],
  ["everything", all],
] as const) {
  test(`FT-02: a login whose ${what} vanishes in a black hole is refused within its deadlines`, async (t) => {
    const opened = await openFaultyAuth(t, {}, { deadline });
    const alice = await registerAlice(opened.calls);
    await opened.mails();
    await opened.fail({ ...blackHole, failCommands });
    const began = performance.now();

    const answer = await told(logIn(opened.calls, alice));

    const took = performance.now() - began;
    await opened.heal();
    assert.deepEqual(answer, unavailable);
    assert.ok(took < 4 * deadline, `${Math.round(took)} ms`);
  });
}

test("FT-02: fifty requests into a black hole are all refused, and work again after it", async (t) => {
  const opened = await openFaultyAuth(t, {}, { deadline });
  const { calls } = opened;
  const alice = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, alice));
  const token = await calls.accessToken(alice.id, calls.session(acting));
  await opened.mails();
  await opened.fail(blackHole);

  const outcomes = await tally(atOnce(50, () => calls.authenticate(token, {}, browser)));
  await opened.heal();

  assert.deepEqual(outcomes, { unavailable: 50 });
});

test("FT-03: a registration that is cut short leaves names that are free after a minute, and no account", async (t) => {
  const opened = await openFaultyAuth(t);
  const { calls, clock } = opened;
  await opened.fail({ failCommands: ["update", "delete"], errorCode: 91 });
  await registerAlice(calls).catch(() => undefined);
  await opened.heal();

  const login = await tally([
    logIn(calls, { username: "alice", password: "seven quiet lanterns by the harbour" }),
  ]);
  clock.advance(61_000);
  const person = await registerAlice(calls);

  assert.deepEqual(login, { invalid_credentials: 1 });
  assert.equal((await logIn(calls, person)).status, "complete");
});

test("LG-04: an audit sink that throws stops no login, but every administrative change", async (t) => {
  const audit = () => Promise.reject(new Error("the sink is broken"));
  const opened = await openAuth(t, { audit });
  const alice = await registerAlice(opened.calls);

  const login = await logIn(opened.calls, alice);
  const before = await opened.account(alice.id);
  await assert.rejects(opened.calls.disable(alice.id));
  await assert.rejects(opened.calls.remove(alice.id));
  await assert.rejects(opened.calls.resetFactors(alice.id));

  assert.equal(login.status, "complete");
  assert.deepEqual(await opened.account(alice.id), before);
  await opened.auth.close();
  assert.ok(opened.auth.lostAuditEvents() > 0);
});

test("LG-04: an administrative change that a broken audit sink stopped is told as unavailable", async (t) => {
  const audit = () => Promise.reject(new Error("the sink is broken"));
  const { calls } = await openAuth(t, { audit });
  const { id } = await registerAlice(calls);

  assert.deepEqual(await told(calls.disable(id)), unavailable);
});

test("LG-04: an audit sink that never answers holds no login up, and an administrative change for its deadline", async (t) => {
  const opened = await openAuth(t, { audit: () => new Promise(() => undefined) });
  const alice = await registerAlice(opened.calls);
  const began = performance.now();

  const login = await logIn(opened.calls, alice);
  const took = performance.now() - began;
  const answer = await told(opened.calls.disable(alice.id));

  assert.equal(login.status, "complete");
  assert.ok(took < 1000, `${Math.round(took)} ms`);
  assert.deepEqual(answer, unavailable);
  assert.equal((await opened.account(alice.id)).state, "active");
});

test("LG-04, INV-2: the trail does not say that a change was made which its own fault prevented", async (t) => {
  const written: AuditEvent[] = [];
  let broken = false;
  const audit = (events: readonly AuditEvent[]) => {
    if (broken) return Promise.reject(new Error("the sink is broken"));
    written.push(...events);
    return Promise.resolve();
  };
  const { auth, calls } = await openAuth(t, { audit });
  const { id } = await registerAlice(calls);
  broken = true;
  await assert.rejects(calls.disable(id));
  broken = false;

  await auth.close();

  const claims = written.filter(
    ({ type, outcome }) => type === "administration" && outcome === "success",
  );
  assert.deepEqual(claims, []);
});

test("OB-10: mail that cannot be delivered changes no answer and stands in the trail without its text", async (t) => {
  const delivery = { deliver: () => Promise.reject(new Error("550 secret words")) };
  const opened = await openAuth(t, { delivery });

  const person = await registerAlice(opened.calls);

  assert.equal((await logIn(opened.calls, person)).status, "complete");
  const events = await opened.auditEvents();
  const failed = events.filter(({ type }) => type === "delivery_failed");
  assert.deepEqual(
    failed.map(({ account, method }) => [account, method]),
    [[person.id, "verify_email"]],
  );
  assert.ok(!JSON.stringify(events).includes("secret words"));
});

test("FT-02, EN-03: a delivery that hangs holds up no answer, no other mail for long, and not the end", async (t) => {
  const outbox = createOutbox();
  let letGo = (): void => undefined;
  const hanging = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const delivery = {
    deliver: (message: Message) =>
      message.to.startsWith("black-hole") ? hanging : outbox.deliver(message),
  };
  const { auth, calls } = await openAuth(t, { delivery });
  const of = (name: string) => ({ username: name, email: `${name}@example.org` });
  for (let count = 0; count < 8; count += 1) await registerAlice(calls, of(`black-hole-${count}`));
  await registerAlice(calls, of("alice"));

  const patience = new Promise<string>((resolve) => {
    setTimeout(resolve, 12_000, "still waiting").unref();
  });
  const end = await Promise.race([auth.close().then(() => "closed"), patience]);
  letGo();

  assert.equal(end, "closed");
  assert.deepEqual(
    outbox.messages.map(({ to }) => to),
    ["alice@example.org"],
  );
});

/** What is stored of the app of an account. */
const seedAt = ({ deviceId }: Enrolled) => `totp.${deviceId}.seed`;
const seedOf = async (opened: Pick<FaultyAuth, "account">, { id, deviceId }: Enrolled) =>
  (await opened.account(id)).totp?.[deviceId]?.seed ?? "";

test("TO-10: the seed is stored sealed, and in no other form", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const stored = JSON.stringify(await opened.account(alice.id));

  assert.ok(!stored.includes(alice.secret));
  assert.match(await seedOf(opened, alice), /^k1\.[\w-]{16}\.[\w-]{27}\.[\w-]{22}$/);
});

test("TO-10, CR-03: seeds that were swapped between two accounts open neither", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const bob = await registerWithTotp(opened, { username: "bob", email: "bob@example.org" });
  const [ofAlice, ofBob] = [await seedOf(opened, alice), await seedOf(opened, bob)];
  await opened.tamper(alice.id, { $set: { [seedAt(alice)]: ofBob } });
  await opened.tamper(bob.id, { $set: { [seedAt(bob)]: ofAlice } });

  const ticket = ticketIn(await logIn(opened.calls, alice));
  const outcomes = [
    await refusal(submitCode(opened.calls, ticket, totpCode(bob.secret, opened.clock))),
    await refusal(submitCode(opened.calls, ticket, totpCode(alice.secret, opened.clock))),
  ];

  assert.deepEqual(outcomes, ["unavailable", "unavailable"]);
  const [event] = (await opened.auditEvents()).slice(-1);
  assert.deepEqual([event?.outcome, event?.reason], ["refused", "seal_broken"]);
});

test("CR-03: a seed of which any one character was changed opens nothing", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const seed = await seedOf(opened, alice);
  const ticket = ticketIn(await logIn(opened.calls, alice));
  const code = totpCode(alice.secret, opened.clock);

  const outcomes = new Set<string>();
  for (const [index, letter] of Array.from(seed).entries()) {
    const other = letter === "A" ? "Q" : "A";
    const changed = seed.slice(0, index) + other + seed.slice(index + 1);
    await opened.tamper(alice.id, { $set: { [seedAt(alice)]: changed } });
    outcomes.add(await refusal(submitCode(opened.calls, ticket, code)));
  }

  assert.deepEqual([...outcomes], ["unavailable"]);
});

const otherKeys = [{ id: "k2", secret: "another key for tests, no shorter than the first" }];

test("TO-10: without its key a seed opens nothing, and the login waits for the key", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const auth = createAuth({ ...opened.options, keys: otherKeys });
  opened.beforeClose(() => auth.close());
  const calls = auth.tenant("main");
  const ticket = ticketIn(await logIn(calls, alice));
  const code = totpCode(alice.secret, opened.clock);

  const without = await refusal(submitCode(calls, ticket, code));
  const withKey = await submitCode(opened.calls, ticket, code);

  assert.deepEqual([without, withKey.status], ["unavailable", "complete"]);
});

test("TO-10: a seed under an older key opens, and is sealed anew at its next use", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const auth = createAuth({ ...opened.options, keys: [...otherKeys, ...testKeys] });
  opened.beforeClose(() => auth.close());
  const calls = auth.tenant("main");

  const ticket = ticketIn(await logIn(calls, alice));
  const progress = await submitCode(calls, ticket, totpCode(alice.secret, opened.clock));

  assert.equal(progress.status, "complete");
  assert.match(await seedOf(opened, alice), /^k2\./);
});

/** Every string in a value, names of fields and whole documents included. */
function strings(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...strings(inner)]);
}

test("CR-05: whoever has the whole database can log in by nothing that stands in it", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, connection } = opened;
  const alice = await registerWithTotp(opened);
  const pending = await logIn(calls, alice);
  assert.ok(pending.status === "pending");
  const { ticket, entry: live } = pending;
  await opened.mails();
  const collections = await connection.db?.listCollections().toArray();
  const dump = new Set<string>();
  for (const { name } of collections ?? []) {
    const documents = await connection.collection(name).find().toArray();
    for (const found of strings(documents)) dump.add(found);
  }
  // Handles built of everything that could be an entry and everything that could be its secret.
  const entries = [...dump].filter((text) => /^[\w-]{12}$/.test(text));
  const secrets = [...dump].filter((text) => /^[\w-]{43}$/.test(text));
  const handles = entries.flatMap((entry) =>
    secrets.map((secret) =>
      Buffer.from([alice.id, entry, secret].join("\n")).toString("base64url"),
    ),
  );
  const right = totpCode(alice.secret, clock);
  const first = (password: string) => ({ code: right, first: { name: "alice", password } });

  const successes: string[] = [];
  const attempt = async (what: string, work: Promise<unknown>) => {
    await work.then(
      () => {
        successes.push(what);
      },
      (error: unknown) => {
        assert.ok(error instanceof AuthError, String(error));
      },
    );
    const unspent = { budgets: {}, [`pending.${live}.tries`]: 0 };
    await opened.tamper(alice.id, { $set: unspent });
  };
  for (const found of dump) {
    await attempt("password", calls.login("alice", { password: found }, browser));
    await attempt("code", submitCode(calls, ticket, found));
    await attempt(
      "password beside the code",
      calls.submit(ticket, { choice: anyMethod, proof: first(found) }, browser),
    );
  }
  for (const found of [...dump, ...handles]) {
    await attempt("ticket", submitCode(calls, found, right));
    await attempt("access token", calls.authenticate(found, {}, browser));
    await attempt("refresh token", calls.refresh(found, { rotate: true }, browser));
    await attempt("verification", calls.verifyEmail(found, browser));
    await attempt("unlock", calls.unlockByToken(found, browser));
  }

  assert.ok(
    dump.size > 80 && handles.length > 50,
    `${dump.size} strings, ${handles.length} handles`,
  );
  assert.deepEqual(successes, []);
  // The attempts failed for want of a secret, not because nothing could have succeeded.
  assert.equal((await submitCode(calls, ticket, right)).status, "complete");
});

const secretValue = "hunter2";
const wrongOptions: readonly [string, object][] = [
  ["store", { store: undefined }],
  ["store", { store: {} }],
  ["keys", { keys: undefined }],
  ["keys", { keys: [] }],
  ["keys", { keys: [null] }],
  ["keys", { keys: [{ id: "k1", secret: secretValue }] }],
  ["keys", { keys: [{ id: "k1", secret: "a".repeat(64) }] }],
  ["keys", { keys: [{ id: `no id ${secretValue}`, secret: "x1y2z3".repeat(10) }] }],
  ["keys", { keys: [...testKeys, ...testKeys] }],
  ["keys", { keys: [...testKeys, { ...testKeys[0], id: "k2" }] }],
  ["issuer", { issuer: undefined }],
  ["issuer", { issuer: "" }],
  ["issuer", { issuer: `a:${secretValue}` }],
  ["issuer", { issuer: secretValue.repeat(9) }],
  ["publicUrl", { publicUrl: undefined }],
  ["publicUrl", { publicUrl: `no url ${secretValue}` }],
  ["publicUrl", { publicUrl: `ftp://${secretValue}` }],
  ["publicUrl", { publicUrl: `https://user:${secretValue}@example.org` }],
  ["publicUrl", { publicUrl: `https://example.org/?${secretValue}` }],
  ["links.unlock", { links: { unlock: `//${secretValue}` } }],
  ["links.verifyEmail", { links: { verifyEmail: secretValue } }],
  ["policy.secondFactor", { policy: { secondFactor: secretValue } }],
  ["policy.secondFactor", { policy: { secondFactor: { requiredFrom: new Date(NaN) } } }],
  ["policy.sessionLifetime", { policy: { sessionLifetime: 31 * 86_400 } }],
  ["policy.refreshGrace", { policy: { refreshGrace: 61 } }],
  ["policy.passwordLength", { policy: { passwordLength: 7 } }],
  ["policy.breachedPasswords", { policy: { breachedPasswords: secretValue } }],
  ["policy.verifiedToLogIn", { policy: { verifiedToLogIn: secretValue } }],
  ["policy.secondfactor", { policy: { secondfactor: "required" } }],
  ["hashing.slots", { hashing: { slots: 5 } }],
  ["hashing.slots", { hashing: { slots: 0 } }],
  ["hashing.queue", { hashing: { queue: -1 } }],
  ["hashing.hasher", { hashing: { hasher: {} } }],
  ["throttle.limit", { throttle: { limit: 0 } }],
  ["throttle.window", { throttle: { window: 0.5 } }],
  ["throttle", { throttle: null }],
  ["delivery", { delivery: {} }],
  ["audit", { audit: secretValue }],
  ["clock", { clock: secretValue }],
  ["sendLimits.destination", { sendLimits: { destination: { perQuarter: -1, perDay: 20 } } }],
  ["sendLimits.tenant", { sendLimits: { tenant: { perQuarter: 5 } } }],
  ["secondFactor", { secondFactor: "required" }],
];
for (const [option, wrong] of wrongOptions) {
  const shown = JSON.stringify(wrong, (_key, value: unknown) => value ?? null);
  test(`CR-04: createAuth refuses ${shown} by the name of ${option}, without the value`, async (t) => {
    const { options } = await openAuth(t);

    assert.throws(
      () => createAuth({ ...options, ...wrong }),
      (error: unknown) =>
        error instanceof TypeError &&
        error.message.includes(option) &&
        !error.message.includes(secretValue),
    );
  });
}

const wrongFactors: readonly [string, object][] = [
  ["records", { records: undefined }],
  ["records", { records: { read: () => null } }],
  ["keys", { keys: [] }],
  ["issuer", { issuer: "a:b" }],
  ["unknown", { find: () => Promise.resolve(null) }],
  ["find", { unknown: memoryRecords() }],
  ["policy.refreshGrace", { policy: { refreshGrace: -1 } }],
  ["secondFactor", { secondFactor: "required" }],
];
for (const [option, wrong] of wrongFactors) {
  test(`CR-04: createFactors refuses a wrong ${option} (${Object.keys(wrong).join()}) by its name`, () => {
    const options = { records: memoryRecords(), keys: testKeys, issuer: "Example", ...wrong };

    assert.throws(
      () => createFactors(options),
      (error) => error instanceof TypeError && error.message.includes(option),
    );
  });
}

test("C-10: a connection without retryable writes is refused when the app gets ready", async (t) => {
  const { default: mongoose } = await import("mongoose");
  const opened = await openAuth(t);
  const connection = await mongoose
    .createConnection(opened.uri.replace("retryWrites=true", "retryWrites=false"))
    .asPromise();
  opened.beforeClose(() => connection.close());
  const auth = createAuth({ ...opened.options, store: mongooseStore(connection) });

  await assert.rejects(auth.ready(), /retryWrites/);
});

test("FT-08: the indexes are there once the app is ready, and one that cannot be made stops it", async (t) => {
  const opened = await openAuth(t);
  const accounts = opened.connection.collection("polyfactor_accounts");
  const made = (await accounts.indexes()).find(({ key }) => "expireAt" in key);
  await accounts.dropIndex("expireAt_1");
  await opened.connection.db?.command({
    createIndexes: accounts.collectionName,
    indexes: [{ key: { expireAt: 1 }, name: "expireAt_1", expireAfterSeconds: 60 }],
  });

  await assert.rejects(opened.auth.ready());

  assert.equal(made?.expireAfterSeconds, 0);
});
