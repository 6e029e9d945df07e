import { ScureBase32Plugin, verifySync } from "otplib";
import { entriesOf, type TotpDevice } from "../account.ts";
import { change, type ChangeBuilder } from "../change.ts";
import { randomOctets } from "../crypto/random.ts";
import type { Sealer } from "../crypto/sealing.ts";
import type { Receipt } from "../receipt.ts";

/** Seconds a code lives (RFC 6238 §5.2). */
const PERIOD = 30;
/** Steps of clock drift accepted on either side. */
const DRIFT = 1;
/** Authenticator apps one account may have: each costs a comparison (TO-11). */
export const MAX_TOTP_DEVICES = 10;

const base32 = new ScureBase32Plugin();

/** A new seed of 160 bits (RFC 4226 R6, TO-02). */
export function createSeed(): Uint8Array {
  return randomOctets(20);
}

/** The seed as an authenticator app takes it: upper-case base32 without padding. */
export function encodeSeed(seed: Uint8Array): string {
  return base32.encode(seed, { padding: false });
}

/**
 * The key URI that an app reads from a QR code. A colon separates issuer and account, so it is taken
 * out of both (TO-08).
 */
export function keyUri({
  issuer,
  account,
  seed,
}: {
  readonly issuer: string;
  readonly account: string;
  readonly seed: Uint8Array;
}): string {
  const [who, whose] = [issuer, account].map((text) =>
    encodeURIComponent(text.replaceAll(":", "")),
  );
  const query = `secret=${encodeSeed(seed)}&issuer=${who ?? ""}`;
  return `otpauth://totp/${who ?? ""}:${whose ?? ""}?${query}&algorithm=SHA1&digits=6&period=${PERIOD}`;
}

/** What seals a seed to its account and device. */
export function seedContext(subject: string, device: string): string {
  return `totp\n${subject}\n${device}`;
}

/** The time step whose code this is, within the drift; undefined if none. Compares in constant time. */
export function matchStep(seed: Uint8Array, code: string, now: number): number | undefined {
  const result = verifySync({
    strategy: "totp",
    secret: seed,
    token: code,
    epoch: Math.floor(now / 1000),
    period: PERIOD,
    epochTolerance: PERIOD * DRIFT,
  });
  return result.valid && "timeStep" in result ? result.timeStep : undefined;
}

/** What checking a code came to: the change that spends it, or why not. */
export type FactorCheck = { readonly change: ChangeBuilder } | { readonly refused: string };

/** Whether the code is right and unused on one of the account's apps; only that app's code is spent. */
export function checkTotp(
  { subject, record }: Receipt,
  code: string,
  { sealer, now }: { readonly sealer: Sealer; readonly now: number },
): FactorCheck {
  let refused = "wrong";
  // Every seed is opened before any is compared: a fault of ours, which is refunded, must not depend on the code.
  const devices = entriesOf<TotpDevice>(record.totp)
    .slice(0, MAX_TOTP_DEVICES)
    .map(([id, device]) => {
      const context = seedContext(subject, id);
      return { id, device, context, seed: sealer.open(device.seed, context) };
    });
  for (const { id, device, context, seed } of devices) {
    const step = matchStep(seed, code, now);
    if (step === undefined) continue;
    // RFC 6238 §5.2: a code is good once. Two requests may both come here; the condition lets one claim.
    if (step > device.lastStep) {
      const spent = change()
        .when(["totp", id, "lastStep"], { below: step })
        .set(["totp", id, "lastStep"], step)
        .set(["totp", id, "lastUsedAt"], now);
      // A retired key leaves the store by use (TO-10).
      return {
        change: sealer.isCurrent(device.seed)
          ? spent
          : spent.set(["totp", id, "seed"], sealer.seal(seed, context)),
      };
    }
    refused = "replayed";
  }
  return { refused };
}
