import type { BackupCodes } from "../account.ts";
import type { Decision } from "../attempt.ts";
import type { AuditEntry } from "../audit.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core } from "../core.ts";
import { AuthError } from "../errors.ts";
import { createBackupCodes, type BackupCodeForm } from "../factors/backup-code.ts";
import { needsSecondFactor } from "../policy.ts";
import { attemptActing, demandFresh } from "./acting.ts";
import { inSlot } from "./in-slot.ts";
import { throttled } from "./throttled.ts";

/**
 * New backup codes; the old ones are good no more, in the same write (BC-04).
 *
 * @throws AuthError `not_enrolled`, `step_up_required`, `too_many_attempts`, `rate_limited`, `unavailable`.
 */
export async function replaceBackupCodes(
  core: Core,
  acting: Acting,
  form: BackupCodeForm,
  context: Context,
): Promise<readonly string[]> {
  const { subject, record, sessionId } = acting;
  if (!needsSecondFactor(record)) throw new AuthError("not_enrolled");
  demandFresh(core, acting, context);
  const event = { type: "backup_codes_replaced", account: subject, session: sessionId } as const;
  const codes = await prepare(
    core,
    acting,
    { context, event, hashes: form === "short" },
    async () => {
      const { shown, stored } = await newBackupCodes(core, subject, form);
      return {
        change: change().set(["backup"], stored).set(["pending"], {}).add(["epoch"], 1),
        value: shown,
      };
    },
  );
  core.notify(subject, record, "backup_codes_replaced", context);
  return codes;
}

/** What is prepared, for whom the trail says it, and whether that takes slow hashes. */
export interface Preparation {
  readonly context: Context;
  readonly event: AuditEntry;
  readonly hashes: boolean;
}

/**
 * Make something that is costly for us and free for whoever asks: paid for from a budget of its own, so
 * that one account cannot keep the hashing slots busy.
 */
export function prepare<T>(
  core: Core,
  acting: Acting,
  { context, event, hashes }: Preparation,
  make: () => Promise<Decision<T>>,
): Promise<T> {
  const spec = { budgets: ["setup"], wrong: "conflict", gone: "conflict", event, context } as const;
  const work = (): Promise<T> => attemptActing(core, acting, spec, make);
  return throttled(core, { context, event, keep: true }, () =>
    hashes ? inSlot(core, work) : work(),
  );
}

/** Codes of a form, and what is stored of them. Short ones take slow hashes: the caller holds a slot. */
export function newBackupCodes(
  core: Core,
  subject: string,
  form: BackupCodeForm,
): Promise<{ readonly shown: readonly string[]; readonly stored: BackupCodes }> {
  return createBackupCodes(subject, { form, keyring: core.keyring, now: core.now() });
}
