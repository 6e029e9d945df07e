import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { CommandStartedEvent } from "mongodb";
import mongoose from "mongoose";
import { createAuth } from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import {
  actAgain,
  actingIn,
  anyMethod,
  browser,
  enrolTotp,
  logIn,
  openAuth,
  refusal,
  registerAlice,
  registerWithTotp,
  sessionIn,
  submitCode,
  ticketIn,
  totpCode,
  wrongCode,
  type OpenedAuth,
} from "../support/auth.ts";

type Command = Readonly<Record<string, unknown>>;

interface Sent {
  readonly name: string;
  readonly collection: string;
  readonly command: Command;
}

const read = ({ commandName, command }: CommandStartedEvent): Sent => ({
  name: commandName,
  collection: String(command[commandName]),
  command,
});

/** What an answer waited for; the audit trail and mail are written behind it. */
async function roundTrips(
  { commands, mails }: OpenedAuth,
  work: () => Promise<unknown>,
): Promise<readonly string[]> {
  await mails();
  const sent = await commands.during(work);
  return sent
    .map(read)
    .map(({ name, collection }) => `${name} ${collection.replace("polyfactor_", "")}`)
    .filter((line) => !line.endsWith(" audit"));
}

test("a second factor takes two round trips, a wrong one takes one", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const person = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, person));

  const wrong = await roundTrips(opened, () =>
    refusal(submitCode(calls, ticket, wrongCode(person.secret, clock))),
  );
  const right = await roundTrips(opened, () =>
    submitCode(calls, ticket, totpCode(person.secret, clock)),
  );

  assert.deepEqual(wrong, ["findAndModify accounts"]);
  assert.deepEqual(right, ["findAndModify accounts", "update accounts"]);
});

test("a backup code takes two round trips", async (t) => {
  const opened = await openAuth(t);
  const person = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(opened.calls, person));

  const sent = await roundTrips(opened, () =>
    submitCode(opened.calls, ticket, person.backupCodes[0] ?? ""),
  );

  assert.deepEqual(sent.slice(0, 2), ["findAndModify accounts", "update accounts"]);
  assert.deepEqual(
    sent.slice(2).filter((line) => !line.endsWith(" budgets")),
    [],
  );
});

test("name, password and code in one request take two round trips", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const { username, password, secret } = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, { username, password }));
  const proof = { code: totpCode(secret, clock), first: { name: username, password } };

  const sent = await roundTrips(opened, () =>
    calls.submit(ticket, { choice: anyMethod, proof }, browser),
  );

  assert.deepEqual(sent, ["findAndModify accounts", "update accounts"]);
});

test("EN-02: a login takes three round trips, a wrong password two, and an unknown name the same two", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const { username, password } = await registerAlice(calls);

  const right = await roundTrips(opened, () => logIn(calls, { username, password }));
  const wrong = await roundTrips(opened, () =>
    refusal(logIn(calls, { username, password: "another password entirely" })),
  );
  const unknown = await roundTrips(opened, () =>
    refusal(logIn(calls, { username: "nobody-at-all", password })),
  );

  assert.deepEqual(right, [
    "findAndModify identifiers",
    "findAndModify accounts",
    "update accounts",
  ]);
  assert.deepEqual(wrong, ["findAndModify identifiers", "findAndModify accounts"]);
  assert.deepEqual(unknown, ["findAndModify identifiers", "findAndModify identifiers"]);
});

test("a bearer check takes one round trip, and the factor status is that one", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const person = await registerAlice(calls);
  const session = sessionIn(await logIn(calls, person));
  const token = await calls.accessToken(person.id, session);

  const sent = await roundTrips(opened, async () =>
    calls.status(await calls.authenticate(token, {}, browser)),
  );

  assert.deepEqual(sent, ["find accounts"]);
});

for (const { rotate, expected } of [
  { rotate: false, expected: ["find accounts"] },
  { rotate: true, expected: ["findAndModify accounts"] },
]) {
  test(`a refresh takes one round trip, ${rotate ? "rotating" : "or keeping"} its token`, async (t) => {
    const opened = await openAuth(t);
    const { calls } = opened;
    const person = await registerAlice(calls);
    const session = sessionIn(await logIn(calls, person));
    const token = await calls.refreshToken(person.id, session);

    const sent = await roundTrips(opened, () => calls.refresh(token, { rotate }, browser));

    assert.deepEqual(sent, expected);
  });
}

/** A bit of everything that reads or writes. */
async function live({ calls, clock, auth, outbox }: OpenedAuth): Promise<void> {
  const alice = await registerWithTotp({ calls, clock });
  const { id, username, password, secret, backupCodes, acting } = alice;
  await refusal(logIn(calls, { username: "nobody-at-all", password }));
  await refusal(logIn(calls, { username, password: "another password entirely" }));
  const login = await submitCode(
    calls,
    ticketIn(await logIn(calls, alice)),
    totpCode(secret, clock),
  );
  const session = sessionIn(login);
  const token = await calls.accessToken(id, session);
  const refresh = await calls.refreshToken(id, session);
  clock.advance(6 * 60_000);
  await calls.authenticate(token, { level: "aal2" }, browser);
  await calls.refresh(refresh, { rotate: true }, browser);
  await calls.refresh(refresh, { rotate: false }, browser).catch(() => undefined);
  const submission = { choice: anyMethod, proof: { code: backupCodes[0] ?? "" } };
  await calls.stepUp(acting, submission, browser);
  await enrolTotp(calls, await actAgain(calls, acting), { clock, name: "second" });
  await calls.replaceBackupCodes(await actAgain(calls, acting), "long", browser);
  const next = "nine loud trumpets on the mountain";
  await calls.changePassword(await actAgain(calls, acting), { current: password, next }, browser);
  await calls.updateProfile(await actAgain(calls, acting), { firstName: "Alice" }, browser);
  const email = "alice@new.example.org";
  await calls.updateProfile(await actAgain(calls, acting), { email }, browser);
  await auth.close();
  const { link = "" } = outbox.messages.find(({ to }) => to === email) ?? {};
  const mailed = new URLSearchParams(new URL(link).hash.slice(1)).get("token") ?? "";
  await calls.verifyEmail(mailed, browser);
  await calls.resendVerification("somebody@example.org", browser);
  await calls.removeTotp(await actAgain(calls, acting), { deviceId: alice.deviceId }, browser);
  await calls
    .revokeSession(await actAgain(calls, acting), session.id, browser)
    .catch(() => undefined);
  await calls.revokeSessions(await actAgain(calls, acting), { keepOwn: true }, browser);
  await calls.logout({ accessToken: await calls.accessToken(id, session) }, browser);
  await calls.begin(id, {}, browser);
  await calls.unlock(id);
  await calls.resetFactors(id);
  await calls.disable(id);
  await calls.enable(id);
  await calls.endSessions(id);
  await calls.remove(id);
  await auth.close();
}

/** The filters of a command; none for an insert. */
function filtersOf({ command }: Sent): readonly Command[] {
  const one = command.filter ?? command.query;
  const many = (command.updates ?? command.deletes ?? []) as readonly { q: Command }[];
  return one === undefined ? many.map(({ q }) => q) : [one as Command];
}

test("every read and every change, of whatever call, is of one document by its id", async (t) => {
  const opened = await openAuth(t);

  const sent = (await opened.commands.during(() => live(opened))).map(read);

  const elsewhere = sent.filter((one) =>
    filtersOf(one).some(({ _id }) => typeof _id !== "string" || _id === ""),
  );
  assert.ok(sent.length > 80, `${sent.length} commands`);
  assert.deepEqual(elsewhere, []);
  assert.deepEqual([...new Set(sent.map(({ name }) => name))].sort(), [
    "delete",
    "find",
    "findAndModify",
    "insert",
    "update",
  ]);
});

/** What MongoDB would do with a command that was sent. */
async function explain({ connection }: OpenedAuth, { name, collection, command }: Sent) {
  const kept = ["filter", "query", "update", "updates", "deletes", "upsert", "new", "projection"];
  const own = Object.fromEntries(
    [...kept, "fields", "remove", "limit", "singleBatch"]
      .filter((key) => command[key] !== undefined)
      .map((key) => [key, command[key]]),
  );
  const plan: unknown = await connection
    .getClient()
    .db(connection.name)
    .command({ explain: { [name]: collection, ...own }, verbosity: "executionStats" });
  return { stages: all(plan, "stage"), examined: all(plan, "totalDocsExamined") as number[] };
}

/** Every value under a key, however deep. */
function all(tree: unknown, key: string): unknown[] {
  if (typeof tree !== "object" || tree === null) return [];
  return Object.entries(tree).flatMap(([name, value]: [string, unknown]) =>
    name === key ? [value, ...all(value, key)] : all(value, key),
  );
}

test("no command scans, and none looks at more than one document, among however many accounts", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  for (const name of ["bob", "carol", "dave"]) {
    await registerAlice(calls, { username: name, email: `${name}@example.org` });
  }

  const sent = (await opened.commands.during(() => live(opened))).map(read);
  const filtered = sent.filter((one) => filtersOf(one).length > 0);
  const plans = await Promise.all(filtered.map((one) => explain(opened, one)));

  const byId = ["IDHACK", "IXSCAN", "EXPRESS_IXSCAN", "EXPRESS_CLUSTERED_IXSCAN"];
  assert.ok(plans.length > 80, `${plans.length} plans`);
  assert.deepEqual(
    plans.filter(({ stages }) => stages.includes("COLLSCAN")),
    [],
  );
  assert.deepEqual(
    plans.filter(({ stages }) => !stages.some((stage) => byId.includes(String(stage)))),
    [],
  );
  assert.deepEqual(
    plans.filter(({ examined }) => examined.some((count) => count > 1)),
    [],
  );
});

/** A host whose connection is as careless as its URI can make it. */
async function openCareless(t: TestContext): Promise<OpenedAuth & { sent: Sent[] }> {
  const opened = await openAuth(t);
  const careless = "w=1&readPreference=secondaryPreferred&readConcernLevel=local";
  const connection = await mongoose
    .createConnection(`${opened.uri}&${careless}`, {
      dbName: opened.connection.name,
      monitorCommands: true,
    })
    .asPromise();
  const auth = createAuth({ ...opened.options, store: mongooseStore(connection) });
  opened.beforeClose(async () => {
    await auth.close();
    await connection.close();
  });
  const sent: Sent[] = [];
  connection.getClient().on("commandStarted", (event) => sent.push(read(event)));
  return { ...opened, auth, calls: auth.tenant("main"), connection, sent };
}

const writes = ["insert", "update", "delete", "findAndModify"];

test("C-1, C-2: every write waits for a majority, at most five seconds, although the host's URI says w=1", async (t) => {
  const opened = await openCareless(t);

  await live(opened);

  const concerns = opened.sent
    .filter(({ name }) => writes.includes(name))
    .map(({ command }) => command.writeConcern as { w?: unknown; wtimeout?: number } | undefined);
  const weak = concerns.filter(
    (concern) => concern?.w !== "majority" || (concern.wtimeout ?? Infinity) > 5000,
  );
  assert.ok(concerns.length > 50, `${concerns.length} writes`);
  assert.deepEqual(weak, []);
});

test("C-3: every read asks the primary for what a majority has, although the host's URI asks for less", async (t) => {
  const opened = await openCareless(t);
  const readsOf = () =>
    opened.sent
      .filter(({ name }) => name === "find")
      .map(({ command }) => ({
        mode: (command.$readPreference as { mode?: string } | undefined)?.mode ?? "primary",
        level: (command.readConcern as { level?: string } | undefined)?.level,
      }));

  await opened.connection.collection("of_the_host").findOne({});
  const [ofTheHost] = readsOf();
  await live(opened);
  const [, ...ours] = readsOf();

  assert.deepEqual(ofTheHost, { mode: "secondaryPreferred", level: "local" });
  assert.ok(ours.length > 10, `${ours.length} reads`);
  assert.deepEqual(
    ours.filter(({ mode, level }) => mode !== "primary" || level !== "majority"),
    [],
  );
});

test("C-11: every command of ours is one that the server gives up after three seconds", async (t) => {
  const opened = await openAuth(t);

  const sent = (await opened.commands.during(() => live(opened))).map(read);

  const endless = sent
    .filter(({ command }) => !(Number(command.maxTimeMS) <= 3000))
    .map(({ name, collection }) => `${name} ${collection}`);
  assert.deepEqual([...new Set(endless)], []);
});

test("C-1: the commit of a code carries every condition it rests on", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock, commands } = opened;
  const person = await registerWithTotp(opened);
  const ticket = ticketIn(await logIn(calls, person));

  const sent = await commands.during(() =>
    submitCode(calls, ticket, totpCode(person.secret, clock)),
  );

  const [charge, commit] = sent.map(read).map((one) => JSON.stringify(filtersOf(one)));
  for (const field of ["tenant", "expiresAt", "tries", "secret", "fails", "lastAt"]) {
    assert.ok(charge?.includes(field), `the charge asks for ${field}`);
  }
  for (const field of ["tenant", "epoch", "secret", `totp.${person.deviceId}.lastStep`]) {
    assert.ok(commit?.includes(field), `the commit asks for ${field}`);
  }
});

test("a session's use is written at most every five minutes, so that a bearer check is a read", async (t) => {
  const opened = await openAuth(t);
  const { calls, clock } = opened;
  const acting = await actingIn(calls, await logIn(calls, await registerAlice(calls)));
  const look = () => roundTrips(opened, () => actAgain(calls, acting));

  clock.advance(299_000);
  const early = await look();
  clock.advance(1000);
  const due = await look();
  const after = await look();

  assert.deepEqual(
    [early, due, after],
    [["find accounts"], ["find accounts", "update accounts"], ["find accounts"]],
  );
});
