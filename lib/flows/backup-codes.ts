import type { BackupCodes } from "../account.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core } from "../core.ts";
import { AuthError } from "../errors.ts";
import { type BackupCodeForm, createBackupCodes } from "../factors/backup-code.ts";
import { needsSecondFactor } from "../policy.ts";
import { commitActing, demandFresh } from "./acting.ts";
import { changed } from "./acting.ts";

/**
 * New backup codes; the old ones are good no more, in the same write (BC-04).
 *
 * @throws AuthError `not_enrolled`, `step_up_required`, `unavailable`.
 */
export async function replaceBackupCodes(
  core: Core,
  acting: Acting,
  form: BackupCodeForm,
  context: Context,
): Promise<readonly string[]> {
  if (!needsSecondFactor(acting.record)) throw new AuthError("not_enrolled");
  demandFresh(core, acting, context);
  const { shown, stored } = await newBackupCodes(core, acting.subject, form);
  const replaced = change().set(["backup"], stored).set(["pending"], {}).add(["epoch"], 1);
  await commitActing(core, acting, replaced);
  changed(core, acting, "backup_codes_replaced", context);
  return shown;
}

export async function newBackupCodes(
  core: Core,
  subject: string,
  form: BackupCodeForm,
): Promise<{ readonly shown: readonly string[]; readonly stored: BackupCodes }> {
  const release = form === "short" ? await core.slots.take() : undefined;
  try {
    return await createBackupCodes(subject, { form, keyring: core.keyring, now: core.now() });
  } finally {
    release?.();
  }
}
