// Compiled, never run: what must not compile stands below `@ts-expect-error`, which fails where it does.
import type { Acting, Code, Level, Progress } from "../../lib/index.ts";
import type { PasswordHasher } from "../../lib/crypto/password-hash.ts";
import type { Keyring } from "../../lib/crypto/keyring.ts";
import type { Sealer } from "../../lib/crypto/sealing.ts";
import { checkBackupCode } from "../../lib/factors/backup-code.ts";
import { checkPassword } from "../../lib/factors/password.ts";
import { checkTotp } from "../../lib/factors/totp.ts";
import type { Receipt } from "../../lib/receipt.ts";

interface Tools {
  readonly sealer: Sealer;
  readonly keyring: Keyring;
  readonly hasher: PasswordHasher;
}

/** TH-02: nothing is evaluated that nobody paid for. */
export function aFactorIsNotCheckedWithoutAReceipt(tools: Tools, { subject, record }: Acting) {
  const unpaid = { subject, record };
  return [
    // @ts-expect-error a code without a receipt
    checkTotp(unpaid, "123456", { sealer: tools.sealer, now: 0 }),
    // @ts-expect-error a backup code without a receipt
    checkBackupCode(unpaid, "AAAAAAAA", tools.keyring),
    // @ts-expect-error a password without a receipt
    checkPassword(unpaid, tools.hasher, "a password"),
  ];
}

export function aReceiptIsNotMadeByHand({ subject, record }: Acting): Receipt {
  // @ts-expect-error only a charge makes one
  return { subject, record };
}

/** MC-01: what has no second factor yet has no session to hand out. */
export function progressNarrows(progress: Progress): readonly unknown[] {
  // @ts-expect-error a session, before it is known to be there
  const early: unknown = progress.session;
  if (progress.status === "complete") return [early, progress.session.id];

  // @ts-expect-error a session, although the login is pending
  return [progress.ticket, progress.session];
}

// @ts-expect-error a wire that forgets a code does not compile
export const forgetful: Readonly<Record<Code, number>> = { invalid_code: 401, invalid_input: 422 };

// @ts-expect-error a code that the core does not know
export const invented: Code = "invalid_everything";

// @ts-expect-error a level that no session has
export const higher: Level = "aal3";

export function whatIsGivenOutIsReadOnly(acting: Acting): void {
  // @ts-expect-error a record that was read is not written to
  acting.record.epoch = 0;
  // @ts-expect-error nor are the proofs that its session rests on
  acting.entry.proofs.totp = 0;
}
