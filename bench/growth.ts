/** Whether logins get slower as an account fills up, or as accounts become many. Without hashing. */
import { createAuth, type Calls, type PasswordHasher } from "../lib/index.ts";
import { mongooseStore } from "../lib/store/mongoose.ts";
import { codeAt, enrolAccounts, hasher, options, tenant, type Enrolled } from "./accounts.ts";
import { openBenchDatabase, printTable, quantile, timed } from "./measure.ts";

const SAMPLES = 300;

const database = await openBenchDatabase("growth");
const { connection } = database;
const quick: PasswordHasher = {
  ...hasher,
  verify: () => Promise.resolve(true),
  needsRehash: () => false,
};

interface Population {
  readonly calls: Calls;
  readonly accounts: readonly Enrolled[];
}

/** Accounts that log in, among so many that do not. */
async function populate(prefix: string, others: number): Promise<Population> {
  const store = mongooseStore(connection, { prefix });
  const accounts = await enrolAccounts(store, SAMPLES);
  await fill(prefix, others);
  const auth = createAuth({ ...options, store, hashing: { hasher: quick } });
  return { calls: auth.tenant(tenant), accounts };
}

async function fill(prefix: string, count: number): Promise<void> {
  const accounts = connection.collection<{ _id: string }>(`${prefix}accounts`);
  const names = connection.collection<{ _id: string }>(`${prefix}identifiers`);
  const [model] = await accounts.find().limit(1).toArray();
  for (let from = 0; from < count; from += 5000) {
    const ids = Array.from({ length: 5000 }, (_, at) => `other-${from + at}`);
    await accounts.insertMany(ids.map((_id) => ({ ...model, _id })));
    await names.insertMany(ids.map((_id) => ({ _id, tenant, account: _id, claimedAt: 0 })));
  }
}

/** Fills the maps of an account to their bounds. */
async function crowd(prefix: string, accounts: readonly Enrolled[]): Promise<void> {
  const now = Date.now();
  const times = { createdAt: now, seenAt: now, expiresAt: now + 86_400_000, refresh: 0 };
  const session = {
    ...times,
    proofs: { password: now, totp: now },
    label: "x".repeat(60),
    ip: "192.0.2.1",
  };
  const pending = {
    secret: "x".repeat(43),
    proofs: { password: now },
    tries: 0,
    expiresAt: now + 300_000,
    lifetime: 86_400_000,
  };
  const entries = (count: number, value: object): object =>
    Object.fromEntries(
      Array.from({ length: count }, (_, at) => [`entry-${String(at).padStart(6, "0")}`, value]),
    );
  await connection
    .collection<{ _id: string }>(`${prefix}accounts`)
    .updateMany(
      { _id: { $in: accounts.map(({ id }) => id) } },
      { $set: { sessions: entries(30, session), pending: entries(10, pending) } },
    );
}

interface Times {
  readonly password: number[];
  readonly code: number[];
}

async function logIn({ calls }: Population, account: Enrolled, times: Times): Promise<void> {
  let ticket = "";
  times.password.push(
    await timed(async () => {
      const begun = await calls.login(account.username, { password: "any" }, {});
      ticket = begun.status === "pending" ? begun.ticket : "";
    }),
  );
  const code = codeAt(account.secret, Date.now());
  const submission = { choice: { methods: ["totp"] }, proof: { code } } as const;
  times.code.push(await timed(() => calls.submit(ticket, submission, {})));
}

function compare(title: string, sides: Readonly<Record<string, Times>>): void {
  const rows = Object.entries(sides).map(([side, { password, code }]) => ({
    side,
    "password, median ms": quantile(password, 0.5),
    "p90 ms": quantile(password, 0.9),
    "code, median ms": quantile(code, 0.5),
    "code, p90 ms": quantile(code, 0.9),
  }));
  const [first, last] = Object.values(sides);
  const ratio = (of: keyof Times): string =>
    (quantile(last?.[of] ?? [], 0.5) / quantile(first?.[of] ?? [], 0.5)).toFixed(2);
  printTable(title, rows);
  console.log(`\nlast : first  password ${ratio("password")}, code ${ratio("code")}`);
}

const noTimes = (): Times => ({ password: [], code: [] });

const few = await populate("few_", 0);
const many = await populate("many_", 100_000);
const byNumber = { [`${SAMPLES} accounts`]: noTimes(), "100,000 more": noTimes() };
const bySize = { "1 session": noTimes(), "30 sessions, 10 pending": noTimes() };
const [small, large] = [few.accounts.slice(0, SAMPLES / 2), many.accounts.slice(0, SAMPLES / 2)];
for (const [at, account] of small.entries()) {
  await logIn(few, account, byNumber[`${SAMPLES} accounts`]);
  const other = large[at];
  if (other !== undefined) await logIn(many, other, byNumber["100,000 more"]);
}
compare("By the number of accounts", byNumber);

const [usual, full] = [few.accounts.slice(SAMPLES / 2), many.accounts.slice(SAMPLES / 2)];
await crowd("many_", full);
for (const [at, account] of usual.entries()) {
  await logIn(few, account, bySize["1 session"]);
  const other = full[at];
  if (other !== undefined) await logIn(many, other, bySize["30 sessions, 10 pending"]);
}
compare("By what an account holds", bySize);
await database.close();
