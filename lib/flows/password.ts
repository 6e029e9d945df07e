import { commitUnchanged, type Decision } from "../attempt.ts";
import { refresh } from "../budget.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core } from "../core.ts";
import { AuthError } from "../errors.ts";
import { checkPassword } from "../factors/password.ts";
import { isMandatory } from "../policy.ts";
import { attemptActing, demandFresh, keepOnly } from "./acting.ts";
import { inSlot } from "./in-slot.ts";

/** Check a new password against the rules for an account. @throws AuthError `password_…` */
export async function checkNewPassword(
  core: Core,
  account: { readonly id: string; readonly username?: string; readonly email?: string },
  password: string,
): Promise<void> {
  const { alone, beside } = core.policy.passwordLength;
  const mandatory = isMandatory(core.policy.secondFactor, { ...account, tenant: core.tenant });
  const context = [core.issuer, account.username, account.email].filter(
    (word) => word !== undefined,
  );
  await core.passwords.check(password, { minLength: mandatory ? beside : alone, context });
}

/**
 * Change the password, which ends other sessions, pending logins and mailed tokens in the same write
 * (PW-11).
 *
 * @throws AuthError `step_up_required`, `password_…`, `wrong_password`, `too_many_attempts`, `unavailable`.
 */
export async function changePassword(
  core: Core,
  acting: Acting,
  { current, next }: { readonly current: string; readonly next: string },
  context: Context,
): Promise<void> {
  demandFresh(core, acting, context);
  const { subject, sessionId, record: seen } = acting;
  await checkNewPassword(core, core.describe(subject, seen), next);

  const now = core.now();
  const budgets = ["password"] as const;
  await inSlot(core, () =>
    attemptActing(
      core,
      acting,
      {
        budgets,
        wrong: "wrong_password",
        gone: "conflict",
        event: { type: "password_change", account: subject, session: sessionId },
        context,
        onGranted: (record) => {
          core.notify(subject, record, "password_changed", context);
        },
      },
      async (receipt): Promise<Decision<true>> => {
        const { right } = await checkPassword(receipt, core.hasher, current);
        if (!right) return { refused: "wrong_password" };
        const hash = await core.hasher.hash(next);
        const changed = keepOnly({ record: receipt.record, sessionId })
          .set(["password"], { hash, changedAt: now })
          .set(["mailed"], {})
          .add(["epoch"], 1)
          .and(refresh(budgets));
        return { change: change().and(changed), value: true };
      },
    ),
  );
}

/**
 * Store a password for somebody whose identity the caller has checked; ends every session.
 *
 * @throws AuthError `password_…`, `not_found`, `conflict`.
 */
export async function setPassword(core: Core, subject: string, password: string): Promise<void> {
  const record = await core.records.read(subject);
  if (record === null) throw new AuthError("not_found", { reason: "unknown_subject" });
  await checkNewPassword(core, core.describe(subject, record), password);
  await inSlot(core, async () => {
    const hash = await core.hasher.hash(password);
    const stored = change()
      .set(["password"], { hash, changedAt: core.now() })
      .set(["sessions"], {})
      .set(["pending"], {})
      .add(["epoch"], 1);
    if (!(await commitUnchanged(core.records, subject, record, stored))) {
      throw new AuthError("conflict", { reason: "raced" });
    }
  });
  core.audit.record({ type: "password_change", account: subject }, {});
}
