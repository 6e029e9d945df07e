import type { Account, AccountName, ProfileFields } from "../account.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { AccountCore } from "../core.ts";
import { randomId } from "../crypto/random.ts";
import { AuthError } from "../errors.ts";
import { canonicalName, nameKey, readAddress } from "../names.ts";
import { throttled } from "./throttled.ts";
import { inSlot } from "./in-slot.ts";
import { prepareToken, sendMail } from "./mail.ts";
import { checkNewPassword } from "./password.ts";

/** Milliseconds in which a registration must be finished; a pointer without account is free after 60 s. */
const LEASE = 30_000;
/** Milliseconds after which an unfinished registration is swept. */
const UNFINISHED_LIVES = 3_600_000;

/** What somebody registers with. */
export interface Registration {
  /** @default the account is found by its address alone */
  readonly username?: string;
  readonly email: string;
  readonly password: string;
  readonly profile?: ProfileFields;
}

/** A new account as it is told. */
export interface Registered {
  readonly id: string;
  readonly username: string;
  readonly email: string;
}

/**
 * Make an account and mail its address a link to confirm.
 *
 * @throws AuthError `invalid_input`, `password_…`, `name_taken`, `rate_limited`, `unavailable`.
 */
export function register(
  core: AccountCore,
  registration: Registration,
  context: Context,
): Promise<Registered> {
  const event = { type: "registration" } as const;
  return throttled(core, { context, event, keep: true }, async () => {
    const draft = readDraft(core, registration);
    const id = randomId();
    await checkNewPassword(core, { id, ...draft }, registration.password);
    const hash = await inSlot(core, () => core.hasher.hash(registration.password));

    const verification = prepareToken(core, id, "verify_email", draft.email);
    await createAccount(core, id, {
      ...draft,
      password: hash,
      mailed: { verify_email: verification.stored },
    });
    core.audit.record({ ...event, account: id }, context);
    sendMail(core, draft.email, "verify_email", { ...verification, context, account: id });
    return { id, username: draft.username ?? draft.email, email: draft.email };
  });
}

/** Names of an account to be, read and keyed. */
export interface Draft {
  readonly username?: string;
  readonly email: string;
  readonly emailKey: string;
  readonly keys: readonly string[];
  readonly profile?: ProfileFields;
}

/** @throws AuthError `invalid_input` naming the field. */
export function readDraft(
  core: AccountCore,
  { username, email, profile }: Omit<Registration, "password">,
): Draft {
  const { address, canonical } = readAddress(email);
  const emailKey = nameKey(core.tenant, "name", canonical);
  const name = username === undefined ? canonical : canonicalName(username);
  if (name.includes("@") && name !== canonical) {
    // Otherwise one string could name two accounts.
    throw new AuthError("invalid_input", { reason: "foreign_address", field: "username" });
  }
  const keys = [...new Set([nameKey(core.tenant, "name", name), emailKey])];
  return {
    email: address,
    emailKey,
    keys,
    ...(username === undefined ? {} : { username: username.trim().normalize("NFC") }),
    ...(profile === undefined ? {} : { profile }),
  };
}

/**
 * Two documents, one truth: insert the account as `new`, claim its names, activate it while the lease
 * holds. Cut short anywhere, the names are free again after a minute and the account is swept.
 *
 * @throws AuthError `name_taken`, `unavailable`.
 */
export async function createAccount(
  core: AccountCore,
  id: string,
  draft: Draft & {
    readonly password?: string;
    readonly mailed?: Account["mailed"];
    readonly verifiedAt?: number;
  },
): Promise<void> {
  const now = core.now();
  const { username, email, emailKey, keys, profile, password, mailed, verifiedAt } = draft;
  const account: Omit<Account, "tenant"> = {
    state: "new",
    email: { address: email, key: emailKey, ...(verifiedAt === undefined ? {} : { verifiedAt }) },
    createdAt: now,
    updatedAt: now,
    ...(username === undefined ? {} : { username }),
    ...(profile === undefined ? {} : { profile }),
    ...(password === undefined ? {} : { password: { hash: password, changedAt: now } }),
    ...(mailed === undefined ? {} : { mailed }),
  };
  await core.store.insert(id, account, now + UNFINISHED_LIVES);

  for (const key of keys) {
    if (!(await core.store.claim(key, id, now))) {
      await abandon(core, id, keys);
      throw new AuthError("name_taken");
    }
  }
  const kind: AccountName = { kind: "name" };
  const names = Object.fromEntries(keys.map((key) => [key, kind]));
  const activated = change()
    .when(["state"], { equals: "new" })
    .when(["createdAt"], { above: core.now() - LEASE })
    .set(["state"], "active")
    .set(["names"], names)
    .unset(["expireAt"]);
  if (!(await core.records.commit(id, activated))) {
    await abandon(core, id, keys);
    throw new AuthError("unavailable", { reason: "lease_ended", retryAfter: 1 });
  }
}

/** The account first: a pointer to nothing is free, a name without pointer is not. */
async function abandon(core: AccountCore, id: string, keys: readonly string[]): Promise<void> {
  await core.store.remove(id);
  for (const key of keys) await core.store.release(key, id, Infinity);
}
