import type { Account } from "../account.ts";
import { commitUnchanged } from "../attempt.ts";
import { change, type ChangeBuilder } from "../change.ts";
import type { AccountCore } from "../core.ts";
import { randomId } from "../crypto/random.ts";
import { AuthError } from "../errors.ts";
import { withoutFactors } from "./removal.ts";
import { createAccount, readDraft, type Registration } from "./registration.ts";

/** An account that comes from elsewhere. */
export interface ImportedAccount extends Omit<Registration, "password"> {
  /** argon2, bcrypt, scrypt or PBKDF2, as its own library wrote it; absent for an account without password. */
  readonly passwordHash?: string;
  /** Whether the address was confirmed there. @default false */
  readonly emailVerified?: boolean;
}

/**
 * Take over an account with the hash of its password, which is upgraded at the first login (PW-09).
 *
 * @throws AuthError `invalid_input` (field `passwordHash` for a hash that cannot be verified), `name_taken`.
 */
export async function importAccount(
  core: AccountCore,
  imported: ImportedAccount,
): Promise<{ readonly id: string }> {
  const { passwordHash, emailVerified = false } = imported;
  if (passwordHash !== undefined && !(await core.hasher.supports(passwordHash))) {
    throw new AuthError("invalid_input", { reason: "hash_format", field: "passwordHash" });
  }
  const id = randomId();
  const draft = readDraft(core, imported);
  await audited(core, id, "import");
  await createAccount(core, id, {
    ...draft,
    ...(passwordHash === undefined ? {} : { password: passwordHash }),
    ...(emailVerified ? { verifiedAt: core.now() } : {}),
  });
  done(core, id, "import");
  return { id };
}

/** Nothing that was opened before stays open. */
function endEverything(): ChangeBuilder {
  return change().set(["sessions"], {}).set(["pending"], {}).set(["mailed"], {}).add(["epoch"], 1);
}

/** Refuse every login and end every session of an account. @throws AuthError `not_found` */
export function disableAccount(core: AccountCore, id: string): Promise<void> {
  return administer(core, id, "disable", () => endEverything().set(["state"], "disabled"));
}

/** Let a disabled account log in again. @throws AuthError `not_found`, `conflict` where it is not disabled */
export function enableAccount(core: AccountCore, id: string): Promise<void> {
  return administer(core, id, "enable", () =>
    change().when(["state"], { equals: "disabled" }).set(["state"], "active").add(["epoch"], 1),
  );
}

/** Open whatever too many failures have closed: the password and short codes. @throws AuthError `not_found` */
export function unlockAccount(core: AccountCore, id: string): Promise<void> {
  return administer(core, id, "unlock", () => change().set(["budgets"], {}));
}

/** End every session and pending login. @throws AuthError `not_found` */
export function endSessions(core: AccountCore, id: string): Promise<void> {
  return administer(core, id, "end_sessions", endEverything);
}

/** Remove every second factor and end every session; the owner is told. @throws AuthError `not_found` */
export async function resetFactors(core: AccountCore, id: string): Promise<void> {
  await administer(core, id, "reset_factors", () =>
    withoutFactors(endEverything()).set(["budgets"], {}),
  );
  const account = await core.records.read(id);
  if (account !== null) core.notify(id, account, "factors_reset", {});
}

/** Delete an account, then let go of its names. @throws AuthError `not_found` */
export async function removeAccount(core: AccountCore, id: string): Promise<void> {
  const account = await find(core, id);
  await audited(core, id, "remove");
  await core.store.remove(id);
  done(core, id, "remove");
  for (const key of Object.keys(account.names ?? {})) {
    await core.store.release(key, id, Infinity);
  }
}

async function administer(
  core: AccountCore,
  id: string,
  what: string,
  wanted: () => ChangeBuilder,
): Promise<void> {
  const account = await find(core, id);
  await audited(core, id, what);
  for (let seen = account, tries = 0; tries < 5; tries += 1, seen = await find(core, id)) {
    if (await commitUnchanged(core.records, id, seen, wanted().set(["updatedAt"], core.now()))) {
      done(core, id, what);
      return;
    }
  }
  throw new AuthError("conflict", { reason: "raced" });
}

/** LG-04: an administrative change waits for its line in the trail, and does not happen without it. */
function audited(core: AccountCore, account: string, reason: string): Promise<void> {
  const intent = { type: "administration", account, reason, outcome: "unknown" } as const;
  return core.audit.recordFirst(intent, {});
}

function done(core: AccountCore, account: string, reason: string): void {
  core.audit.record({ type: "administration", account, reason }, {});
}

async function find(core: AccountCore, id: string): Promise<Account> {
  const account = /^[A-Za-z0-9_-]{1,64}$/.test(id) ? await core.records.read(id) : null;
  if (account === null) throw new AuthError("not_found", { reason: "no_such_account" });
  return account;
}
