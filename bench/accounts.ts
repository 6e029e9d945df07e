import { generateSync, ScureBase32Plugin } from "otplib";
import {
  createAuth,
  createPasswordHasher,
  type AuthOptions,
  type Calls,
  type PasswordHasher,
} from "../lib/index.ts";

/** Everybody's password, so that its hash is made once. */
export const password = "seven quiet lanterns by the harbour";
export const tenant = "bench";
export const hasher = createPasswordHasher();

const base32 = new ScureBase32Plugin();

/** The code that an app with this secret shows. */
export function codeAt(secret: string, now: number): string {
  const epoch = Math.floor(now / 1000);
  return generateSync({ strategy: "totp", secret: base32.decode(secret), epoch });
}

/** What `createAuth` needs for a measurement: nothing sent, no address limit, the real hash. */
export const options: Omit<AuthOptions, "store"> = {
  keys: [{ id: "k1", secret: "a key for measurements that is long enough for one" }],
  issuer: "Bench",
  publicUrl: "https://login.example.org",
  delivery: { deliver: () => Promise.resolve() },
  throttle: { limit: 1_000_000_000 },
  hashing: { hasher, queue: 100_000 },
};

/** An account with an authenticator app. */
export interface Enrolled {
  readonly id: string;
  readonly username: string;
  readonly secret: string;
}

/** Imports accounts and gives each an app, a minute ago, so that today's codes are unspent. */
export async function enrolAccounts(
  store: AuthOptions["store"],
  count: number,
): Promise<readonly Enrolled[]> {
  const hash = await hasher.hash(password);
  const before = (): Date => new Date(Date.now() - 60_000);
  // Nobody logs in by password here, so nothing is hashed.
  const unused: PasswordHasher = { ...hasher, supports: () => Promise.resolve(true) };
  const auth = createAuth({ ...options, store, hashing: { hasher: unused }, clock: before });
  await auth.ready();
  const calls = auth.tenant(tenant);
  const accounts = await inTurns(count, 20, (at) => enrol(calls, `user-${at}`, hash, before));
  await auth.close();
  return accounts;
}

async function enrol(
  calls: Calls,
  username: string,
  passwordHash: string,
  clock: () => Date,
): Promise<Enrolled> {
  const { id } = await calls.import({ username, email: `${username}@example.org`, passwordHash });
  const begun = await calls.begin(id, {}, {});
  if (begun.status !== "complete") throw new Error("a new account has a second factor");
  const named = { subject: id, sessionId: begun.session.id };
  const act = () => calls.findSession(named, { level: "aal1" }, {});
  const { secret } = await calls.enrolTotp(await act(), {}, {});
  await calls.confirmTotp(await act(), { code: codeAt(secret, clock().getTime()) }, {});
  return { id, username, secret };
}

/** Does the work `count` times, so many at once, and answers the results in order. */
export async function inTurns<T>(
  count: number,
  width: number,
  work: (at: number) => Promise<T>,
): Promise<readonly T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      const at = next;
      next += 1;
      results[at] = await work(at);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  return results;
}
