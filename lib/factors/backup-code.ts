import type { BackupCodes } from "../account.ts";
import { change } from "../change.ts";
import { keyedDigest, type Keyring } from "../crypto/keyring.ts";
import { randomOctets, randomText } from "../crypto/random.ts";
import { slowDigest } from "../crypto/password-hash.ts";
import type { Receipt } from "../receipt.ts";
import type { FactorCheck } from "./totp.ts";

/**
 * How backup codes look: `long` has 25 base32 characters in five groups (125 bits), `short` the eight
 * characters that auth-framework documents (40 bits).
 */
export type BackupCodeForm = "long" | "short";

/** How many codes a set has. */
const COUNT = 10;

/** A new set: the codes to show once, and what is stored of them. */
export async function createBackupCodes(
  subject: string,
  { form, keyring, now }: { form: BackupCodeForm; keyring: Keyring; now: number },
): Promise<{ readonly shown: readonly string[]; readonly stored: BackupCodes }> {
  const codes = Array.from({ length: COUNT }, () =>
    form === "short"
      ? randomText(8, "ABCDEFGHJKLMNPQRSTUVWXYZ23456789")
      : randomText(25, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
  );
  const salt = form === "short" ? Buffer.from(randomOctets(16)).toString("base64url") : undefined;
  const { id, key } = keyring.current("backup-code");
  const digests: string[] = [];
  // One after the other: the caller holds one hashing slot, and each may take its memory (PW-12).
  for (const code of codes) digests.push(keyedDigest(key, await material(subject, code, salt)));

  return {
    shown: codes.map((code) => (form === "short" ? code : (code.match(/.{5}/g) ?? []).join("-"))),
    stored: {
      codes: Object.fromEntries(digests.map((digest) => [digest, id])),
      createdAt: now,
      ...(salt === undefined ? {} : { salt }),
    },
  };
}

/** Whether the code is one of the set and unspent. The change spends it by taking it out of the set. */
export async function checkBackupCode(
  { subject, record }: Receipt,
  code: string,
  keyring: Keyring,
): Promise<FactorCheck> {
  const { codes = {}, salt } = record.backup ?? {};
  // A code of the other form cannot be in the set.
  if ((code.length === 8) !== (salt !== undefined)) return { refused: "wrong" };

  const text = await material(subject, code, salt);
  for (const { id, key } of keyring.all("backup-code")) {
    const digest = keyedDigest(key, text);
    if (Object.hasOwn(codes, digest) && codes[digest] === id) {
      const spent = ["backup", "codes", digest];
      return { change: change().when(spent, { equals: id }).unset(spent) };
    }
  }
  return { refused: "wrong" };
}

/** What the keyed digest is taken of: below 112 bits a slow hash stands before it (BC-02). */
async function material(subject: string, code: string, salt: string | undefined): Promise<string> {
  const text = `${subject}\n${code}`;
  if (salt === undefined) return text;
  const slow = await slowDigest(text, Buffer.from(salt, "base64url"));
  return Buffer.from(slow).toString("base64url");
}
