import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import {
  createAuth,
  createFactors,
  memoryRecords,
  mongoRecords,
  type AuthError,
  type Calls,
  type NativeCollection,
} from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import {
  actAgain,
  actingIn,
  anyMethod,
  atOnce,
  browser,
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
  wrongCode,
  type Enrolled,
  type OpenedAuth,
} from "../support/auth.ts";
import { countingHasher, quickHasher } from "../support/hasher.ts";

const LONGEST = 900_000;
const wrongPassword = "not the password of anybody";

/** As a wire may tell it. */
const told = ({ code, retryAfter }: AuthError) => ({ code, retryAfter });

/** Wrong passwords, each after the longest delay and from an address of its own. */
async function failPasswords(
  { calls, clock }: Pick<OpenedAuth, "calls" | "clock">,
  username: string,
  times: number,
): Promise<AuthError[]> {
  const refusals: AuthError[] = [];
  for (let count = 0; count < times; count += 1) {
    const context = { ip: `198.51.100.${count}` };
    refusals.push(await refusalOf(calls.login(username, { password: wrongPassword }, context)));
    clock.advance(LONGEST);
  }
  return refusals;
}

/** Wrong codes, each on a login of its own and after the longest delay. */
async function failCodes(
  { calls, clock }: Pick<OpenedAuth, "calls" | "clock">,
  person: Enrolled,
  times: number,
): Promise<AuthError[]> {
  const refusals: AuthError[] = [];
  for (let count = 0; count < times; count += 1) {
    const ticket = ticketIn(await logIn(calls, person));
    refusals.push(await refusalOf(submitCode(calls, ticket, wrongCode(person.secret, clock))));
    clock.advance(LONGEST);
  }
  return refusals;
}

const codes = (refusals: readonly AuthError[]) => [...new Set(refusals.map(({ code }) => code))];

test("TH-01: after a hundred wrong passwords the password is off, for every instance and address", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerAlice(opened.calls);
  const second = createAuth({ ...opened.options, store: mongooseStore(opened.connection) });
  opened.beforeClose(() => second.close());

  const first = await failPasswords(opened, "alice", 50);
  const rest = await failPasswords({ ...opened, calls: second.tenant("main") }, "alice", 50);
  const evaluated = opened.hasher.verified;
  const right = await refusalOf(logIn(opened.calls, alice));

  assert.deepEqual(codes([...first, ...rest]), ["invalid_credentials"]);
  assert.deepEqual(told(right), { code: "too_many_attempts", retryAfter: 900 });
  assert.equal(opened.hasher.verified, evaluated);
});

test("TH-01: whoever loses the password this way is mailed one link that switches it on again, once", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerAlice(calls);
  await failPasswords(opened, "alice", 105);

  const mails = await opened.mails("password_off");
  const [{ to, token = "", link = "" } = { to: "" }] = mails;
  await calls.unlockByToken(token, browser);
  const again = await refusal(calls.unlockByToken(token, browser));

  assert.deepEqual([mails.length, to], [1, alice.email]);
  assert.ok(link.startsWith("https://login.example.org/unlock#"), link);
  assert.equal((await logIn(calls, alice)).status, "complete");
  assert.equal(again, "invalid_mailed_token");
});

test("TH-01: a host can unlock the password that is off", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerAlice(opened.calls);
  await failPasswords(opened, "alice", 100);

  await opened.calls.unlock(alice.id);

  assert.equal((await logIn(opened.calls, alice)).status, "complete");
});

test("TH-01: an unlock link is good for a day, and a mailed token of another kind does not unlock", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  await registerAlice(calls);
  const [{ token: verification = "" } = {}] = await opened.mails("verify_email");
  await failPasswords(opened, "alice", 100);
  const [{ token = "" } = {}] = await opened.mails("password_off");

  const other = await refusal(calls.unlockByToken(verification, browser));
  clock.advance(24 * 3_600_000 - LONGEST);
  const late = await refusal(calls.unlockByToken(token, browser));

  assert.deepEqual([other, late], ["invalid_mailed_token", "invalid_mailed_token"]);
});

test("TH-01: after twenty wrong codes short codes are off and still listed, until a backup code succeeds", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const refusals = await failCodes(opened, alice, 20);

  const pending = await logIn(calls, alice);
  const ticket = ticketIn(pending);
  const right = await refusalOf(submitCode(calls, ticket, totpCode(alice.secret, clock)));
  const recovered = await submitCode(calls, ticket, alice.backupCodes[0] ?? "");
  const next = await submitCode(
    calls,
    ticketIn(await logIn(calls, alice)),
    totpCode(alice.secret, clock),
  );

  assert.deepEqual(codes(refusals), ["invalid_code"]);
  assert.deepEqual(told(right), { code: "too_many_attempts", retryAfter: 900 });
  assert.deepEqual(pending.status === "pending" && pending.methods, ["totp", "backup_code"]);
  assert.deepEqual([recovered.status, next.status], ["complete", "complete"]);
});

test("TH-01: short codes that are off stay off for step-up and after the right password", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  await failCodes(opened, alice, 20);
  const proof = { code: totpCode(alice.secret, clock) };

  const acting = await actAgain(calls, alice.acting);
  const raised = await refusal(calls.stepUp(acting, { choice: anyMethod, proof }, browser));

  assert.equal(raised, "too_many_attempts");
});

test("TH-01: backup codes are never switched off", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  for (let count = 0; count < 30; count += 1) {
    const ticket = ticketIn(await logIn(calls, alice));
    await refusal(submitCode(calls, ticket, "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"));
    clock.advance(LONGEST);
  }

  const ticket = ticketIn(await logIn(calls, alice));
  const progress = await submitCode(calls, ticket, alice.backupCodes[0] ?? "");

  assert.equal(progress.status, "complete");
});

test("TH-02, C-6: an attempt is paid for before it is evaluated", async (t) => {
  const paid: (number | undefined)[] = [];
  const inner = quickHasher();
  const opened: OpenedAuth = await openAuth(t, {
    hashing: {
      hasher: {
        ...inner,
        async verify(hash, password) {
          const { budgets } = await opened.account(alice.id);
          paid.push(budgets?.password?.fails);
          return inner.verify(hash, password);
        },
      },
    },
  });
  const alice = await registerAlice(opened.calls);

  await logIn(opened.calls, alice);

  assert.deepEqual(paid, [1]);
  assert.equal((await opened.account(alice.id)).budgets?.password?.fails, 0);
});

test("TH-03: a fault of ours while evaluating gives the attempt back", async (t) => {
  const broken = new Error("the hasher broke");
  const hasher = { ...quickHasher(), verify: () => Promise.reject(broken) };
  const opened = await openAuth(t, { hashing: { hasher } });
  const alice = await registerAlice(opened.calls);

  const tries = await Promise.allSettled(atOnce(20, () => logIn(opened.calls, alice)));

  const reasons = new Set(tries.map((one) => one.status === "rejected" && one.reason === broken));
  assert.deepEqual([...reasons], [true]);
  assert.equal((await opened.account(alice.id)).budgets?.password?.fails, 0);
});

test("TH-03: a fault of ours gives the try of a pending login back too, and every budget that paid", async (t) => {
  const inner = quickHasher();
  let broken = false;
  const opened = await openAuth(t, {
    hashing: {
      hasher: {
        ...inner,
        verify: (hash, password) =>
          broken ? Promise.reject(new Error("the hasher broke")) : inner.verify(hash, password),
      },
    },
  });
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(opened.calls, alice));
  broken = true;
  const proof = {
    code: totpCode(alice.secret, opened.clock),
    first: { name: "alice", password: alice.password },
  };

  await assert.rejects(opened.calls.submit(ticket, { choice: anyMethod, proof }, browser), /broke/);

  const { budgets, pending = {} } = await opened.account(alice.id);
  assert.deepEqual(
    {
      fails: [budgets?.password?.fails, budgets?.second?.fails, budgets?.code?.fails],
      tries: Object.values(pending).map(({ tries }) => tries),
    },
    { fails: [0, 0, 0], tries: [0] },
  );
});

test("TH-03: an attempt whose commit comes too late stays paid for", async (t) => {
  const inner = quickHasher();
  const opened: OpenedAuth = await openAuth(t, {
    hashing: {
      hasher: {
        ...inner,
        async verify(hash, password) {
          await opened.tamper(alice.id, { $inc: { epoch: 1 } });
          return inner.verify(hash, password);
        },
      },
    },
  });
  const alice = await registerAlice(opened.calls);

  const code = await refusal(logIn(opened.calls, alice));

  const { budgets, sessions } = await opened.account(alice.id);
  assert.deepEqual(
    [code, budgets?.password?.fails, sessions],
    ["invalid_credentials", 1, undefined],
  );
});

test("TH-04, MC-06: new logins and other methods do not multiply the tries: five are evaluated in all", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const guesses = [wrongCode(alice.secret, clock), "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"];

  const outcomes: string[] = [];
  for (let login = 0; login < 10; login += 1) {
    const ticket = ticketIn(await logIn(calls, alice));
    for (const guess of [...guesses, ...guesses]) {
      outcomes.push(await refusal(submitCode(calls, ticket, guess)));
    }
  }

  assert.deepEqual(outcomes, [
    ...Array.from({ length: 5 }, () => "invalid_code"),
    ...Array.from({ length: 35 }, () => "too_many_attempts"),
  ]);
});

test("MC-04: a pending login has five tries, and a right code after them opens nothing", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  for (let tries = 0; tries < 5; tries += 1) {
    await refusal(submitCode(calls, ticket, wrongCode(alice.secret, clock)));
  }
  clock.advance(10_000);

  const code = await refusal(submitCode(calls, ticket, totpCode(alice.secret, clock)));

  assert.equal(code, "invalid_ticket");
});

test("TH-05: whoever lacks the password cannot touch the budget of the second factor", async (t) => {
  const opened = await openAuth(t, { hashing: { hasher: quickHasher(), queue: 1000 } });
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));

  await tally(atOnce(1000, () => logIn(calls, { username: "alice", password: wrongPassword })));
  const progress = await submitCode(calls, ticket, totpCode(alice.secret, clock));

  assert.equal(progress.status, "complete");
});

for (const { wrong, mails } of [
  { wrong: 4, mails: 0 },
  { wrong: 5, mails: 1 },
]) {
  test(`TH-05, LG-05: ${wrong} wrong codes after the right password send ${mails} warnings to the owner`, async (t) => {
    const opened = await openAuth(t);
    const alice = await registerWithTotp(opened);
    const ticket = ticketIn(await logIn(opened.calls, alice));

    for (let count = 0; count < wrong; count += 1) {
      await refusal(submitCode(opened.calls, ticket, wrongCode(alice.secret, opened.clock)));
    }

    const sent = await opened.mails("second_factor_failures");
    assert.deepEqual(
      sent.map(({ to }) => to),
      Array.from({ length: mails }, () => alice.email),
    );
  });
}

test("TH-06: the delays double from one second to fifteen minutes, and end to the millisecond", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerAlice(calls);
  const wrong = () => refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  for (let count = 0; count < 5; count += 1) await wrong();

  const waits: (number | undefined)[] = [];
  const early: string[] = [];
  for (let count = 5; count < 18; count += 1) {
    const { retryAfter = 0 } = await refusalOf(logIn(calls, alice));
    waits.push(retryAfter);
    clock.advance(retryAfter * 1000 - 1);
    early.push(await refusal(logIn(calls, alice)));
    clock.advance(1);
    await wrong();
  }

  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
  assert.deepEqual([...new Set(early)], ["too_many_attempts"]);
});

test("TH-06: inside a delay the right password is answered as a wrong one is, and accepted after it", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerAlice(calls);
  for (let count = 0; count < 5; count += 1) {
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }

  const right = await refusalOf(logIn(calls, alice));
  const wrong = await refusalOf(logIn(calls, { username: "alice", password: wrongPassword }));
  clock.advance(1000);
  const progress = await logIn(calls, alice);

  assert.deepEqual(told(right), told(wrong));
  assert.equal(progress.status, "complete");
  assert.equal((await opened.account(alice.id)).budgets?.password?.fails, 0);
});

test("TH-06: an attempt that is refused just before its delay ends is told to wait, not that its login is gone", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, connection } = opened;
  const alice = await registerWithTotp(opened);
  const [spent, ticket] = [await logIn(calls, alice), await logIn(calls, alice)].map(ticketIn);
  for (let count = 0; count < 5; count += 1) {
    await refusal(submitCode(calls, spent ?? "", wrongCode(alice.secret, clock)));
  }
  clock.advance(999);
  // The delay ends between the charge and the read that explains its refusal.
  connection.getClient().on("commandStarted", ({ commandName }) => {
    if (commandName === "find") clock.advance(1);
  });

  const code = await refusal(submitCode(calls, ticket ?? "", totpCode(alice.secret, clock)));

  assert.equal(code, "too_many_attempts");
});

test("TH-06: a password that is refused just before its delay ends is told to wait, and charges no name without account", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, connection } = opened;
  const alice = await registerAlice(calls);
  for (let count = 0; count < 5; count += 1) {
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }
  clock.advance(999);
  connection.getClient().on("commandStarted", ({ commandName }) => {
    if (commandName === "find") clock.advance(1);
  });

  const code = await refusal(logIn(calls, alice));

  const charged = await connection
    .collection("polyfactor_identifiers")
    .countDocuments({ budgets: { $exists: true } });
  assert.deepEqual([code, charged], ["too_many_attempts", 0]);
});

test("TH-06, BC-06: a success makes only its own class fresh", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  await refusal(submitCode(calls, ticket, "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA"));
  await refusal(submitCode(calls, ticket, wrongCode(alice.secret, clock)));
  await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  const failsNow = async () => {
    const { budgets = {} } = await opened.account(alice.id);
    return Object.fromEntries(Object.entries(budgets).map(([name, { fails }]) => [name, fails]));
  };

  const before = await failsNow();
  await submitCode(calls, ticket, totpCode(alice.secret, clock));
  const after = await failsNow();

  assert.deepEqual(before, { password: 1, second: 2, code: 1, backup: 1, setup: 0 });
  assert.deepEqual(after, { password: 1, second: 0, code: 0, backup: 1, setup: 0 });
});

test("TH-06: the right password does not make the second factor's budget fresh", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  for (let count = 0; count < 5; count += 1) {
    await refusal(submitCode(calls, ticket, wrongCode(alice.secret, clock)));
  }

  const next = ticketIn(await logIn(calls, alice));
  const code = await refusal(submitCode(calls, next, totpCode(alice.secret, clock)));

  assert.equal(code, "too_many_attempts");
});

test("TH-06: name, password and code in one request pay both budgets, and a refusal leaves both paid", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, alice));
  const proof = {
    code: totpCode(alice.secret, clock),
    first: { name: "alice", password: wrongPassword },
  };

  const code = await refusal(calls.submit(ticket, { choice: anyMethod, proof }, browser));

  const { budgets } = await opened.account(alice.id);
  assert.equal(code, "invalid_code");
  assert.deepEqual(
    [budgets?.password?.fails, budgets?.second?.fails, budgets?.code?.fails],
    [1, 1, 1],
  );
});

test("TH-07: every spelling of a name and the address share one budget", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerAlice(calls);
  const spellings = ["alice", "ALICE", "  Alice ", "alice@example.org", " Alice@EXAMPLE.org"];

  const outcomes: string[] = [];
  for (const name of spellings) {
    outcomes.push(await refusal(calls.login(name, { password: wrongPassword }, browser)));
  }
  const next = await refusal(logIn(calls, alice));

  assert.deepEqual([...new Set(outcomes)], ["invalid_credentials"]);
  assert.equal(next, "too_many_attempts");
});

test("TH-07: every spelling of a name that nobody has shares one budget", async (t) => {
  const { calls } = await openAuth(t);
  const spellings = ["nobody", "NOBODY", " Nobody", "nobody ", "NoBody", "nobody"];

  const outcomes: string[] = [];
  for (const name of spellings) {
    outcomes.push(await refusal(calls.login(name, { password: wrongPassword }, browser)));
  }

  assert.equal(outcomes[5], "too_many_attempts");
});

test("TH-07: a spelling that only looks like a name is refused before anything is looked up", async (t) => {
  const opened = await openAuth(t);
  await registerAlice(opened.calls);
  await opened.mails();
  const fullWidth = "\uff41\uff4c\uff49\uff43\uff45";

  const sent = await opened.commands.during(async () => {
    assert.equal(
      await refusal(opened.calls.login(fullWidth, { password: wrongPassword }, browser)),
      "invalid_input",
    );
  });

  assert.deepEqual(
    sent.filter(({ commandName }) => commandName !== "insert"),
    [],
  );
});

test("TH-08: one address that tries one password on many accounts is stopped, and others are not", async (t) => {
  const opened = await openAuth(t, { throttle: { limit: 10 } });
  const { calls } = opened;
  const spray = (index: number) =>
    calls.login(`user-${index}`, { password: wrongPassword }, browser);

  const outcomes = await tally(atOnce(500, spray).slice(0, 500));
  const stopped = await refusalOf(spray(501));
  const other = await refusal(
    calls.login("user-502", { password: wrongPassword }, { ip: "192.0.2.2" }),
  );

  assert.deepEqual(outcomes, { invalid_credentials: 10, rate_limited: 490 });
  assert.deepEqual(told(stopped), { code: "rate_limited", retryAfter: 900 });
  assert.equal(other, "invalid_credentials");
});

test("TH-08: an address that logs in honestly uses nothing of its allowance up", async (t) => {
  const { calls } = await openAuth(t, { throttle: { limit: 3 } });
  const alice = await registerAlice(calls);

  const statuses: string[] = [];
  for (let count = 0; count < 10; count += 1) statuses.push((await logIn(calls, alice)).status);

  assert.deepEqual([...new Set(statuses)], ["complete"]);
});

test("TH-08, EX-06: the addresses of one IPv6 network and both spellings of an IPv4 address count as one", async (t) => {
  const { calls } = await openAuth(t, { throttle: { limit: 1 } });
  const from = (ip: string) => refusal(calls.login("nobody", { password: wrongPassword }, { ip }));

  const outcomes = [
    await from("2001:db8:1:2::1"),
    await from("2001:DB8:0001:2:ffff::9"),
    await from("2001:db8:1:3::1"),
    await from("203.0.113.9"),
    await from("::ffff:203.0.113.9"),
  ];

  assert.deepEqual(outcomes, [
    ...["invalid_credentials", "rate_limited"],
    ...["invalid_credentials", "invalid_credentials", "rate_limited"],
  ]);
});

test("TH-08: five hundred addresses that try one account are stopped by its budget", async (t) => {
  const hasher = countingHasher();
  const { calls } = await openAuth(t, { throttle: {}, hashing: { hasher, queue: 500 } });
  await registerAlice(calls);

  const outcomes = await tally(
    atOnce(500, (index) =>
      calls.login(
        "alice",
        { password: wrongPassword },
        { ip: `10.0.${index >> 8}.${index & 255}` },
      ),
    ),
  );

  assert.deepEqual(outcomes, { invalid_credentials: 5, too_many_attempts: 495 });
  assert.equal(hasher.verified, 5);
});

for (const { title, times, apart, sent } of [
  { title: "five in a quarter of an hour", times: 13, apart: 61_000, sent: 5 },
  { title: "twenty a day", times: 45, apart: LONGEST, sent: 20 },
]) {
  test(`TH-08: many requests to mail one account its link send ${title}`, async (t) => {
    const opened = await openAuth(t);
    const alice = await registerAlice(opened.calls);

    for (let count = 0; count < times; count += 1) {
      opened.clock.advance(apart);
      await opened.calls.resendVerification(alice.email, browser);
      await opened.mails();
    }

    assert.equal((await opened.mails("verify_email")).length, sent);
  });
}

test("TH-08: asking again within a minute is refused, or answered alike and sends nothing", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerAlice(calls);
  const acting = await actingIn(calls, await logIn(calls, alice));

  const known = await refusalOf(calls.sendVerification(acting, browser));
  await calls.resendVerification(alice.email, browser);
  await calls.resendVerification("nobody@example.org", browser);

  assert.deepEqual(told(known), { code: "rate_limited", retryAfter: 60 });
  assert.equal((await opened.mails("verify_email")).length, 1);
});

test("TH-08: one destination that twenty accounts want to be mailed at shares one limit", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  for (let index = 0; index < 20; index += 1) {
    const username = `user-${index}`;
    const person = await registerAlice(calls, { username, email: `${username}@example.org` });
    const acting = await actingIn(calls, await logIn(calls, person));
    await calls.updateProfile(acting, { email: "victim@example.org" }, browser);
  }

  const sent = (await opened.mails()).filter(({ to }) => to === "victim@example.org");

  assert.equal(sent.length, 5);
});

/** Logins of every kind that must look alike. */
async function prepareStates(opened: OpenedAuth): Promise<void> {
  const { auth, calls, connection } = opened;
  const of = (username: string) => ({ username, email: `${username}@example.org` });
  await registerAlice(calls, of("ordinary"));
  await registerWithTotp(opened, of("enrolled"));
  await calls.disable((await registerAlice(calls, of("disabled"))).id);
  await calls.import(of("passwordless"));
  await registerAlice(auth.tenant("other"), of("elsewhere"));
  const { id } = await registerAlice(calls, of("dangling"));
  await connection.collection<{ _id: string }>("polyfactor_accounts").deleteOne({ _id: id });
}

const states = [
  "ordinary",
  "enrolled",
  "disabled",
  "passwordless",
  "elsewhere",
  "dangling",
  "unknown",
];

test("EN-01, EN-02: whatever is wrong, one password is verified and one answer given", async (t) => {
  const opened = await openAuth(t);
  const { calls, hasher } = opened;
  await prepareStates(opened);

  const answers: object[] = [];
  for (const name of states) {
    const before = hasher.verified;
    const refused = await refusalOf(calls.login(name, { password: wrongPassword }, browser));
    answers.push({ ...told(refused), verified: hasher.verified - before });
  }

  const same = { code: "invalid_credentials", retryAfter: undefined, verified: 1 };
  assert.deepEqual(
    answers,
    states.map(() => same),
  );
});

test("EN-01, EN-02: the right password of a disabled account is answered as a wrong one", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerAlice(opened.calls);
  await opened.calls.disable(alice.id);
  const before = opened.hasher.verified;

  const refused = await refusalOf(logIn(opened.calls, alice));

  assert.deepEqual(told(refused), { code: "invalid_credentials", retryAfter: undefined });
  assert.equal(opened.hasher.verified - before, 1);
});

test("EN-04: thirty failures on a name that somebody has and on names that nobody has answer alike", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, hasher } = opened;
  await prepareStates(opened);
  const fail = async (name: string) => {
    const before = hasher.verified;
    const refused = await refusalOf(calls.login(name, { password: wrongPassword }, browser));
    return { ...told(refused), verified: hasher.verified - before };
  };

  const sequences: object[][] = states.map(() => []);
  for (let count = 0; count < 30; count += 1) {
    clock.advance(2000);
    for (const [index, name] of states.entries()) sequences[index]?.push(await fail(name));
  }

  const [ordinary] = sequences;
  assert.deepEqual(
    sequences,
    states.map(() => ordinary),
  );
  assert.ok(ordinary?.some((answer) => "verified" in answer && answer.verified === 0));
});

for (const { where, open } of [
  {
    where: "memory",
    open: () => Promise.resolve({ users: memoryRecords(), unknown: memoryRecords() }),
  },
  {
    where: "MongoDB",
    open: async (connection: OpenedAuth["connection"]) => {
      const users = connection.collection<{ _id: string }>(randomUUID());
      await users.insertOne({ _id: "u1" });
      return {
        users: mongoRecords(users as unknown as NativeCollection),
        unknown: mongoRecords(connection.collection(randomUUID()) as unknown as NativeCollection, {
          create: true,
        }),
      };
    },
  },
]) {
  test(`EN-02, EN-04: a host's own users, kept in ${where}, and names that nobody has answer alike`, async (t) => {
    const { connection } = await openAuth(t);
    const { users, unknown } = await open(connection);
    const hasher = countingHasher();
    const factors = createFactors({
      ...{ records: users, unknown, keys: testKeys, issuer: "Example", hashing: { hasher } },
      find: (name) => Promise.resolve(name === "alice" ? "u1" : null),
    });
    await factors.setPassword("u1", "seven quiet lanterns by the harbour");
    const fail = async (name: string) => {
      const before = hasher.verified;
      const code = await refusal(factors.login(name, { password: wrongPassword }, {}));
      return { code, verified: hasher.verified - before };
    };

    const answers: object[][] = [[], []];
    for (let count = 0; count < 7; count += 1) {
      answers[0]?.push(await fail("alice"));
      answers[1]?.push(await fail("nobody"));
    }

    assert.deepEqual(answers[1], answers[0]);
  });
}

test("FT-05: a clock set back by an hour accepts no spent code and no older one", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerWithTotp(opened);
  const spent = totpCode(alice.secret, clock);
  await submitCode(calls, ticketIn(await logIn(calls, alice)), spent);
  clock.advance(-3_600_000);

  const again = await refusal(submitCode(calls, ticketIn(await logIn(calls, alice)), spent));
  const older = totpCode(alice.secret, clock);
  const early = await refusal(submitCode(calls, ticketIn(await logIn(calls, alice)), older));

  assert.deepEqual([again, early], ["invalid_code", "invalid_code"]);
});

test("FT-05: a clock set back by an hour makes a lockout last no longer than that and the delay", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const alice = await registerAlice(calls);
  for (let count = 0; count < 5; count += 1) {
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }
  clock.advance(-3_600_000);

  const inside = await refusal(logIn(calls, alice));
  clock.advance(3_600_000 + 1000);
  const progress = await logIn(calls, alice);

  assert.deepEqual([inside, progress.status], ["too_many_attempts", "complete"]);
});

test("FT-05: a clock set back makes no budget fresh", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, hasher } = opened;
  await registerAlice(calls);
  for (let count = 0; count < 5; count += 1) {
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }
  const before = hasher.verified;

  for (let count = 0; count < 20; count += 1) {
    clock.advance(-180_000);
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }

  assert.equal(hasher.verified, before);
});

test("FT-09: what the server may remove by age is no live state and no lockout", async (t) => {
  const opened = await openAuth(t);
  const { calls, connection } = opened;
  const alice = await registerAlice(calls);
  const lock = async (username: string) => {
    for (let count = 0; count < 5; count += 1) {
      await refusal(logIn(calls, { username, password: wrongPassword }));
    }
  };
  await lock("alice");
  await lock("nobody");

  const inTwentyNineDays = new Date(Date.now() + 29 * 86_400_000);
  for (const name of ["accounts", "identifiers"]) {
    const documents = connection.collection(`polyfactor_${name}`);
    await documents.deleteMany({ expireAt: { $lte: inTwentyNineDays } });
  }

  assert.equal(await refusal(logIn(calls, alice)), "too_many_attempts");
  assert.equal(
    await refusal(logIn(calls, { username: "nobody", password: wrongPassword })),
    "too_many_attempts",
  );
});

test("FT-09: an account that is in use, and its names, never expire", async (t) => {
  const opened = await openAuth(t);
  const { calls, connection } = opened;
  const alice = await registerAlice(calls);
  await logIn(calls, alice);
  await refusal(logIn(calls, { username: "alice", password: wrongPassword }));

  const expiring = await Promise.all(
    ["accounts", "identifiers"].map((name) =>
      connection.collection(`polyfactor_${name}`).countDocuments({ expireAt: { $exists: true } }),
    ),
  );

  assert.deepEqual(expiring, [0, 0]);
});

test("MT-01: budgets of one tenant are not another's", async (t) => {
  const { auth, calls } = await openAuth(t);
  const other: Calls = auth.tenant("other");
  await registerAlice(calls);
  const twin = await registerAlice(other);
  for (let count = 0; count < 6; count += 1) {
    await refusal(logIn(calls, { username: "alice", password: wrongPassword }));
  }

  const progress = await logIn(other, twin);

  assert.equal(progress.status, "complete");
});
