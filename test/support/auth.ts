import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { Connection } from "mongoose";
import { generateSync, ScureBase32Plugin } from "otplib";
import {
  AuthError,
  createAuth,
  type Account,
  type AccountActing,
  type AuditEvent,
  type Auth,
  type AuthOptions,
  type BackupCodeForm,
  type Calls,
  type Code,
  type Delivery,
  type Key,
  type Message,
  type Progress,
  type Session,
  type TotpSetup,
} from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import { testClock, type TestClock } from "./clock.ts";
import { openDatabase, type TestDatabase } from "./database.ts";
import { countingHasher, type CountingHasher } from "./hasher.ts";

/** Keeps what would have been sent. */
export interface Outbox extends Delivery {
  readonly messages: Message[];
}

/** An empty outbox. */
export function createOutbox(): Outbox {
  const messages: Message[] = [];
  return {
    messages,
    deliver(message) {
      messages.push(message);
      return Promise.resolve();
    },
  };
}

/** Secrets for tests. */
export const testKeys: readonly Key[] = [
  { id: "k1", secret: "a key for tests that is long enough to be taken for one" },
];

/** A core on an empty database of its own. */
export interface OpenedAuth {
  readonly auth: Auth;
  /** The calls of the tenant `main`. */
  readonly calls: Calls;
  /** What `auth` was made with; with it, a second instance on the same database can be made. */
  readonly options: AuthOptions;
  readonly connection: Connection;
  readonly uri: string;
  readonly commands: TestDatabase["commands"];
  readonly clock: TestClock;
  /** Counts; checks passwords cheaply. Not in use where `hashing` was overridden. */
  readonly hasher: CountingHasher;
  readonly outbox: Outbox;
  /** The mails sent so far, after those that an answer did not wait for; only one kind, if given. */
  readonly mails: (kind?: string) => Promise<readonly Message[]>;
  /** The audit trail in order, as it was stored. */
  readonly auditEvents: () => Promise<readonly AuditEvent[]>;
  /** An account as it is stored. */
  readonly account: (id: string) => Promise<Account>;
  /** Something to be done before the database is closed, the last one first. */
  readonly beforeClose: (work: () => Promise<unknown>) => void;
  /** Change a stored account past the library. */
  readonly tamper: (id: string, update: object) => Promise<void>;
}

/**
 * Opens a core for a test and closes it afterwards. Its clock stands still, its passwords cost nothing,
 * and no address limit is in the way, unless overridden.
 */
export async function openAuth(
  t: TestContext,
  overrides: Partial<AuthOptions> = {},
): Promise<OpenedAuth> {
  const database = await openDatabase();
  const { connection } = database;
  const [clock, hasher, outbox] = [testClock(), countingHasher(), createOutbox()];
  const options: AuthOptions = {
    store: mongooseStore(connection),
    keys: testKeys,
    issuer: "Example",
    publicUrl: "https://login.example.org",
    delivery: outbox,
    hashing: { hasher },
    throttle: { limit: 1_000_000 },
    clock: clock.clock,
    ...overrides,
  };
  const auth = createAuth(options);
  const closing = [() => auth.close()] as (() => Promise<unknown>)[];
  t.after(async () => {
    for (const work of closing.reverse()) await work();
    await database.close();
  });
  await auth.ready();

  const accounts = connection.collection<{ _id: string }>("polyfactor_accounts");
  return {
    auth,
    calls: auth.tenant("main"),
    options,
    connection,
    uri: database.uri,
    commands: database.commands,
    clock,
    hasher,
    outbox,
    beforeClose: (work) => {
      closing.push(work);
    },
    async mails(kind) {
      await auth.close();
      return outbox.messages.filter((message) => kind === undefined || message.kind === kind);
    },
    async auditEvents() {
      await auth.close();
      const events = connection.collection("polyfactor_audit").find().sort({ _id: 1 });
      return (await events.toArray()) as unknown as AuditEvent[];
    },
    async account(id) {
      const found = await accounts.findOne({ _id: id });
      assert.ok(found, "there is no such account");
      return found as unknown as Account;
    },
    async tamper(id, update) {
      const { matchedCount } = await accounts.updateOne({ _id: id }, update);
      assert.equal(matchedCount, 1);
    },
  };
}

/** What a browser of Alice's sends along. */
export const browser = { ip: "192.0.2.1", userAgent: "Alice's browser" };

/** Somebody with an account. */
export interface Person {
  readonly id: string;
  readonly username: string;
  readonly email: string;
  readonly password: string;
}

const alice = {
  username: "alice",
  email: "alice@example.org",
  password: "seven quiet lanterns by the harbour",
};

/** Registers Alice, or somebody else. */
export async function registerAlice(
  calls: Calls,
  other: Partial<Omit<Person, "id">> = {},
): Promise<Person> {
  const wanted = { ...alice, ...other };
  const { id } = await calls.register(wanted, browser);
  return { ...wanted, id };
}

/** The first factor of a person. */
export function logIn(
  calls: Calls,
  { username, password }: Pick<Person, "username" | "password">,
): Promise<Progress> {
  return calls.login(username, { password }, browser);
}

/** The session of a login that is complete. */
export function sessionIn(progress: Progress): Session {
  assert.ok(progress.status === "complete", "the login is not complete");
  return progress.session;
}

/** The ticket of a login that waits for a second factor. */
export function ticketIn(progress: Progress): string {
  assert.ok(progress.status === "pending", "the login waits for nothing");
  return progress.ticket;
}

/** The acting session of a login that is complete. */
export function actingIn(calls: Calls, progress: Progress): Promise<AccountActing> {
  const named = { subject: progress.accountId, sessionId: sessionIn(progress).id };
  return calls.findSession(named, { level: "enrol" }, browser);
}

/** Acts in the same session again, with the account as it is now. */
export function actAgain(
  calls: Calls,
  { subject, sessionId }: AccountActing,
): Promise<AccountActing> {
  return calls.findSession({ subject, sessionId }, { level: "enrol" }, browser);
}

const base32 = new ScureBase32Plugin();

/** The code that an app with this secret shows, `step` steps from now. */
export function totpCode(secret: string, { clock }: TestClock, step = 0): string {
  const epoch = Math.floor(clock().getTime() / 1000) + 30 * step;
  return generateSync({ strategy: "totp", secret: base32.decode(secret), epoch });
}

/** A code that is wrong at every step that could be accepted. */
export function wrongCode(secret: string, clock: TestClock): string {
  const right = [-1, 0, 1].map((step) => totpCode(secret, clock, step));
  const wrong = ["000000", "111111", "222222", "333333"].find((code) => !right.includes(code));
  assert.ok(wrong);
  return wrong;
}

/** Sets an authenticator app up and confirms it; the code of the current step is spent by that. */
export async function enrolTotp(
  calls: Calls,
  acting: AccountActing,
  { clock, name, backupCodes }: { clock: TestClock; name?: string; backupCodes?: BackupCodeForm },
): Promise<TotpSetup> {
  const wanted = {
    ...(name === undefined ? {} : { name }),
    ...(backupCodes === undefined ? {} : { backupCodes }),
  };
  const setup = await calls.enrolTotp(acting, wanted, browser);
  const fresh = await actAgain(calls, acting);
  await calls.confirmTotp(fresh, { code: totpCode(setup.secret, clock) }, browser);
  return setup;
}

/** Somebody whose logins need a second factor. */
export interface Enrolled extends Person {
  readonly secret: string;
  readonly deviceId: string;
  readonly backupCodes: readonly string[];
  /** The session in which the factor was set up, with the account as it is now. */
  readonly acting: AccountActing;
}

/** Registers Alice, gives her an authenticator app and backup codes, and lets a step pass so that its code is unspent. */
export async function registerWithTotp(
  { calls, clock }: Pick<OpenedAuth, "calls" | "clock">,
  {
    form = "long",
    ...other
  }: Partial<Omit<Person, "id">> & { readonly form?: BackupCodeForm } = {},
): Promise<Enrolled> {
  const person = await registerAlice(calls, other);
  const acting = await actingIn(calls, await logIn(calls, person));
  const setup = await enrolTotp(calls, acting, { clock, backupCodes: form });
  clock.advance(30_000);
  const { secret, deviceId, backupCodes = [] } = setup;
  return { ...person, secret, deviceId, backupCodes, acting: await actAgain(calls, acting) };
}

/** Any code a person may type. */
export const anyMethod = { methods: ["totp", "backup_code"] } as const;

/** A second factor for a pending login. */
export function submitCode(calls: Calls, ticket: string, code: string): Promise<Progress> {
  return calls.submit(ticket, { choice: anyMethod, proof: { code } }, browser);
}

/** The code of the refusal that the work ends in; fails where it ends in anything else. */
export async function refusal(work: Promise<unknown>): Promise<Code> {
  return (await refusalOf(work)).code;
}

/** The refusal that the work ends in. */
export async function refusalOf(work: Promise<unknown>): Promise<AuthError> {
  const outcome: unknown = await work.then(
    () => new Error("nothing was refused"),
    (error: unknown) => error,
  );
  if (outcome instanceof AuthError) return outcome;
  throw outcome;
}

/** How many of each outcome parallel work came to: `ok`, or the code of the refusal. */
export async function tally(
  work: readonly Promise<unknown>[],
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.allSettled(work)) {
    const name = outcome.status === "fulfilled" ? "ok" : nameOf(outcome.reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

function nameOf(reason: unknown): string {
  if (reason instanceof AuthError) return reason.code;
  throw reason;
}

/** Starts `count` of the same work at once. */
export function atOnce<T>(count: number, work: (index: number) => Promise<T>): Promise<T>[] {
  return Array.from({ length: count }, (_, index) => work(index));
}
