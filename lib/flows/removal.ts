import type { ChangeBuilder } from "../change.ts";
import { entriesOf, type TotpDevice } from "../account.ts";
import type { Decision } from "../attempt.ts";
import { refresh } from "../budget.ts";
import type { Context } from "../context.ts";
import type { Acting, Core } from "../core.ts";
import { AuthError } from "../errors.ts";
import { readCode } from "../factors/code-form.ts";
import { checkPassword } from "../factors/password.ts";
import { checkTotp } from "../factors/totp.ts";
import { isMandatory, needsSecondFactor } from "../policy.ts";
import { attemptActing, commitActing, demandFresh, keepOnly } from "./acting.ts";
import { inSlot } from "./in-slot.ts";

/**
 * Remove one app, or every one, by a session that used a second factor lately. Backup codes go with
 * the last factor they stand in for.
 *
 * @throws AuthError `not_enrolled`, `not_found`, `last_factor`, `step_up_required`, `unavailable`.
 */
export async function removeTotp(
  core: Core,
  acting: Acting,
  { deviceId }: { readonly deviceId?: string },
  context: Context,
): Promise<void> {
  demandFresh(core, acting, context);
  const { record, subject } = acting;
  const devices = entriesOf<TotpDevice>(record.totp);
  if (devices.length === 0) throw new AuthError("not_enrolled");
  const left = devices.filter(([id]) => deviceId !== undefined && id !== deviceId);
  if (deviceId !== undefined && left.length === devices.length) throw new AuthError("not_found");

  const last = left.length === 0;
  if (last && isMandatory(core.policy.secondFactor, core.describe(subject, record))) {
    throw new AuthError("last_factor");
  }
  const kept = keepOnly(acting).add(["epoch"], 1);
  await commitActing(
    core,
    acting,
    last ? withoutFactors(kept) : kept.unset(["totp", deviceId ?? ""]),
  );
  const event = { type: "factor_removed", account: subject, session: acting.sessionId } as const;
  core.audit.record(event, context);
  core.notify(subject, record, "factor_removed", context);
}

/**
 * Switch the second factor off with password and code, both paid for and checked in one attempt.
 *
 * @throws AuthError `not_enrolled`, `wrong_password`, `invalid_code`, `last_factor`, `too_many_attempts`, `unavailable`.
 */
export async function disableSecondFactors(
  core: Core,
  acting: Acting,
  { password, code }: { readonly password: string; readonly code: string },
  context: Context,
): Promise<void> {
  const { subject, record: seen, sessionId } = acting;
  if (!needsSecondFactor(seen)) throw new AuthError("not_enrolled");
  const typed = readCode(code);
  if (typed?.kind !== "digits") throw new AuthError("invalid_code", { reason: "malformed" });

  const now = core.now();
  const budgets = ["password", "second", "code"] as const;
  await inSlot(core, () =>
    attemptActing(
      core,
      acting,
      {
        budgets,
        wrong: "invalid_code",
        gone: "conflict",
        event: { type: "factor_removed", account: subject, session: sessionId },
        context,
        onGranted: (record) => {
          core.notify(subject, record, "factor_removed", context);
        },
      },
      async (receipt): Promise<Decision<true>> => {
        const { right } = await checkPassword(receipt, core.hasher, password);
        if (!right) return { refused: "wrong_password", code: "wrong_password" };
        const check = checkTotp(receipt, typed.code, { sealer: core.sealer, now });
        if ("refused" in check) return check;
        const account = core.describe(subject, receipt.record);
        if (isMandatory(core.policy.secondFactor, account)) {
          return { refused: "last_factor", code: "last_factor" };
        }
        const kept = keepOnly({ record: receipt.record, sessionId }).add(["epoch"], 1);
        // The code must still be unspent; where it would be noted as spent goes with the factor.
        const unspent = { conditions: check.change.conditions, effects: [] };
        return {
          change: withoutFactors(kept).and(unspent).and(refresh(budgets)),
          value: true,
        };
      },
    ),
  );
}

/** All second factors gone, prepared ones included. */
export function withoutFactors(kept: ChangeBuilder): ChangeBuilder {
  return kept.unset(["totp"]).unset(["backup"]).unset(["enrolment"]);
}
