import type { Account, MailedPurpose, MailedToken } from "../account.ts";
import { commitUnchanged } from "../attempt.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { AccountCore } from "../core.ts";
import { digest, sameSecret } from "../crypto/digest.ts";
import { createHandle, readHandle, writeHandle, type Handle } from "../crypto/ticket.ts";
import { callOut } from "../deadline.ts";
import { composeMail, type MessageFacts, type MessageKind } from "../delivery/messages.ts";
import type { Message } from "../delivery/port.ts";
import { AuthError } from "../errors.ts";

/** Milliseconds that a mailed token lives (63B §4.2.1.2, RT-02). */
const TOKEN_LIVES = 24 * 3_600_000;
/** Milliseconds between two tokens for one purpose. */
export const RESEND_AFTER = 60_000;

/** Milliseconds that a delivery may take. */
const DELIVERY_TAKES = 5000;

/** A token to be mailed: what is stored of it, and the link that carries it. */
export interface PreparedToken {
  readonly stored: MailedToken;
  readonly token: string;
  readonly link: string;
}

/** A new token for one purpose and address. The link is built from the configured public URL (RT-07). */
export function prepareToken(
  core: AccountCore,
  subject: string,
  purpose: MailedPurpose,
  address: string,
): PreparedToken {
  const { handle, stored: secret } = createHandle(subject);
  const now = core.now();
  const token = writeHandle(handle);
  const page = new URL(core.links[purpose], core.publicUrl);
  // In the fragment: a scanner that fetches the link sends no token, and no log holds one (RT-08).
  page.hash = new URLSearchParams({ token, tenant: core.tenant }).toString();
  return {
    stored: { id: handle.entry, secret, address, sentAt: now, expiresAt: now + TOKEN_LIVES },
    token,
    link: page.href,
  };
}

/** Send a mail behind the answer: within the limits of its destination and tenant, its failure audited (OB-10). */
export function sendMail(
  core: AccountCore,
  to: string,
  kind: MessageKind,
  {
    context,
    account,
    ...facts
  }: Omit<MessageFacts, "issuer"> & { context: Context; account: string },
): void {
  core.background.run(async () => {
    if (!(await mayReach(core, to, kind, { context, account }))) return;
    await deliver(core, composeMail(kind, to, { ...facts, issuer: core.issuer }), {
      context,
      account,
    });
  });
}

/** Whom a mail is about, for the trail. */
export interface MailSubject {
  readonly context: Context;
  readonly account: string;
}

/** Count a mail against its limits. */
export async function mayReach(
  core: AccountCore,
  to: string,
  kind: MessageKind,
  { context, account }: MailSubject,
): Promise<boolean> {
  if (await core.mayReach(to, kind, account)) return true;
  const event = { type: "limit_hit", account, method: kind, reason: "destination" } as const;
  core.audit.record({ ...event, outcome: "refused" }, context);
  return false;
}

/** Send a mail that was counted; its failure is audited (OB-10). */
export async function deliver(
  core: AccountCore,
  message: Message,
  { context, account }: MailSubject,
): Promise<void> {
  try {
    await callOut(() => core.delivery.deliver(message), DELIVERY_TAKES, "delivery");
  } catch {
    // The reason may quote the message; the trail must not.
    const event = { type: "delivery_failed", account, method: message.kind } as const;
    core.audit.record({ ...event, outcome: "refused" }, context);
  }
}

/** An account and the live token that was shown for it. */
export interface ShownToken {
  readonly subject: string;
  readonly account: Account;
  readonly mailed: MailedToken;
  readonly purpose: MailedPurpose;
}

/** Whose token this is, if it is live and for one of these purposes. @throws AuthError `invalid_mailed_token` */
export async function findToken(
  core: AccountCore,
  purposes: readonly MailedPurpose[],
  token: string,
): Promise<ShownToken> {
  const handle = readHandle(token);
  const account = handle && (await core.records.read(handle.subject));
  for (const purpose of handle && account ? purposes : []) {
    const mailed = account?.mailed?.[purpose];
    if (!handle || !account || !mailed || !isLive(handle, mailed, core.now())) continue;
    return { subject: handle.subject, account, mailed, purpose };
  }
  throw new AuthError("invalid_mailed_token");
}

function isLive({ entry, secret }: Required<Handle>, mailed: MailedToken, now: number): boolean {
  return mailed.id === entry && sameSecret(mailed.secret, digest(secret)) && mailed.expiresAt > now;
}

/**
 * Spend the unlock token that was mailed when the password was switched off (TH-01).
 *
 * @throws AuthError `invalid_mailed_token`
 */
export async function unlockByToken(
  core: AccountCore,
  token: string,
  context: Context,
): Promise<void> {
  const { subject, account, mailed } = await findToken(core, ["unlock"], token);
  const spent = change()
    .when(["mailed", "unlock", "secret"], { equals: mailed.secret })
    .when(["mailed", "unlock", "expiresAt"], { above: core.now() })
    .unset(["mailed", "unlock"])
    .set(["budgets", "password", "fails"], 0);
  if (!(await commitUnchanged(core.records, subject, account, spent))) {
    throw new AuthError("invalid_mailed_token", { reason: "raced" });
  }
  core.audit.record({ type: "unlock", account: subject }, context);
}
