import type { Account } from "../account.ts";
import { commitUnchanged } from "../attempt.ts";
import { change, type Change, type ChangeBuilder } from "../change.ts";
import type { Context } from "../context.ts";
import type { AccountActing, AccountCore } from "../core.ts";
import { AuthError } from "../errors.ts";
import { type Address, nameKey, readAddress } from "../names.ts";
import { commitActing } from "./acting.ts";
import { deliver, findToken, mayReach, prepareToken, RESEND_AFTER, sendMail } from "./mail.ts";
import { composeMail } from "../delivery/messages.ts";
import { throttled } from "./throttled.ts";

/** The key under which an address is found. */
export function keyOf(core: AccountCore, { canonical }: Address): string {
  return nameKey(core.tenant, "name", canonical);
}

/** The token goes to the new address, a warning to the old one; the owner of a taken one gets a notice instead. */
export async function requestAddress(
  core: AccountCore,
  acting: AccountActing,
  { moved, renamed }: { readonly moved: Address; readonly renamed: ChangeBuilder },
  context: Context,
): Promise<void> {
  const { subject, record } = acting;
  const event = { type: "email_change_requested", account: subject } as const;
  await throttled(core, { context, event, keep: true }, async () => {
    const prepared = prepareToken(core, subject, "change_email", moved.address);
    await commitActing(core, acting, renamed.set(["mailed", "change_email"], prepared.stored));
    // Behind the answer: looking a free address up takes longer than a taken one (EN-03).
    core.background.run(async () => {
      const owner = await core.store.resolve(keyOf(core, moved));
      if (owner === null || owner === subject) {
        sendMail(core, moved.address, "verify_email", { ...prepared, context, account: subject });
      } else {
        // Whoever asks pays for it: an account must not mail the world.
        sendMail(core, moved.address, "address_in_use", { context, account: subject });
      }
    });
    core.notify(subject, record, "email_change_requested", context);
    core.audit.record(event, context);
  });
}

/**
 * Mail the acting account a new link to confirm its address.
 *
 * @returns false where the address is confirmed already.
 * @throws AuthError `rate_limited` within 60 s of the last one.
 */
export async function sendVerification(
  core: AccountCore,
  { subject, record }: AccountActing,
  context: Context,
): Promise<boolean> {
  const { email } = record;
  if (email === undefined || email.verifiedAt !== undefined) return false;
  const event = { type: "email_verification_sent", account: subject } as const;
  await throttled(core, { context, event, keep: true }, async () => {
    if (await mailVerification(core, subject, record, context)) return;
    throw new AuthError("rate_limited", { reason: "resend", retryAfter: RESEND_AFTER / 1000 });
  });
  return true;
}

/** The same for whoever names an address: one answer for unknown, known and confirmed ones (EN-03). */
export function resendVerification(
  core: AccountCore,
  email: string,
  context: Context,
): Promise<void> {
  const address = readAddress(email);
  const event = { type: "email_verification_sent" } as const;
  return throttled(core, { context, event, keep: true }, () => {
    core.background.run(async () => {
      const subject = await core.store.resolve(keyOf(core, address));
      const account = subject === null ? null : await core.records.read(subject);
      if (subject === null || account?.state !== "active") return;
      if (account.email?.key !== keyOf(core, address) || account.email.verifiedAt !== undefined)
        return;
      await mailVerification(core, subject, account, context);
    });
    return Promise.resolve();
  });
}

async function mailVerification(
  core: AccountCore,
  subject: string,
  account: Account,
  context: Context,
): Promise<boolean> {
  const { email, mailed } = account;
  if (email === undefined) return false;
  const last = mailed?.verify_email;
  if (last !== undefined && last.sentAt > core.now() - RESEND_AFTER) return false;
  const about = { context, account: subject };
  // Counted before the token is replaced: a refused mail must not end the link that was sent before.
  if (!(await mayReach(core, email.address, "verify_email", about))) return false;
  const prepared = prepareToken(core, subject, "verify_email", email.address);
  const sent = change()
    .whenSame(["mailed", "verify_email", "id"], last?.id)
    .set(["mailed", "verify_email"], prepared.stored);
  if (!(await commitUnchanged(core.records, subject, account, sent))) return false;

  core.audit.record({ type: "email_verification_sent", account: subject }, context);
  const facts = { ...prepared, issuer: core.issuer };
  core.background.run(() =>
    deliver(core, composeMail("verify_email", email.address, facts), about),
  );
  return true;
}

/**
 * Spend a mailed token: the address it was sent to is its account's, and confirmed (RT-10).
 *
 * @throws AuthError `invalid_mailed_token`, also where the address went to somebody else meanwhile.
 */
export async function verifyEmail(
  core: AccountCore,
  token: string,
  context: Context,
): Promise<{ readonly accountId: string }> {
  const { subject, account, mailed, purpose } = await findToken(
    core,
    ["verify_email", "change_email"],
    token,
  );
  const spent = change()
    .when(["mailed", purpose, "secret"], { equals: mailed.secret })
    .when(["mailed", purpose, "expiresAt"], { above: core.now() });
  const address = readAddress(mailed.address);
  const key = keyOf(core, address);

  if (key === account.email?.key) {
    const verified = spent
      .unset(["mailed", purpose])
      .set(["email", "verifiedAt"], core.now())
      .set(["updatedAt"], core.now());
    await commitToken(core, subject, account, verified);
  } else {
    await moveAddress(core, { subject, account, key, address }, spent, context);
  }
  core.audit.record({ type: "email_verified", account: subject }, context);
  return { accountId: subject };
}

interface Move {
  readonly subject: string;
  readonly account: Account;
  readonly key: string;
  readonly address: Address;
}

/** Claim the new name, commit on the account, let go of the old name if it was claimed before this change. */
async function moveAddress(
  core: AccountCore,
  { subject, account, key, address }: Move,
  spent: ChangeBuilder,
  context: Context,
): Promise<void> {
  const began = core.now();
  if (!(await core.store.claim(key, subject, began)))
    throw new AuthError("invalid_mailed_token", { reason: "address_taken" });

  const { email: old, username } = account;
  const wasName = username !== undefined && username.includes("@");
  const renamed = wasName ? spent.set(["username"], address.address) : spent;
  const moved = renamed
    .set(["email"], { address: address.address, key, verifiedAt: began })
    .set(["names", key], { kind: "name" })
    .set(["mailed"], {})
    .set(["updatedAt"], began)
    .add(["epoch"], 1);
  // Cut short or raced here, the new name stays pointed at an account that does not list it: free in a minute.
  await commitToken(
    core,
    subject,
    account,
    old === undefined ? moved : moved.unset(["names", old.key]),
  );
  if (old === undefined) return;
  await core.store.release(old.key, subject, began);
  core.notify(subject, account, "email_changed", context);
}

async function commitToken(
  core: AccountCore,
  subject: string,
  account: Account,
  wanted: Change,
): Promise<void> {
  if (await commitUnchanged(core.records, subject, account, wanted)) return;
  throw new AuthError("invalid_mailed_token", { reason: "raced" });
}
