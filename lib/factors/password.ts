import { change, type Change } from "../change.ts";
import type { PasswordHasher } from "../crypto/password-hash.ts";
import type { Receipt } from "../receipt.ts";

/** Whether a password was right, and the upgrade of its hash where that is due. */
export interface PasswordCheck {
  readonly right: boolean;
  readonly rehash?: Change;
}

/** Always one verification, of a dummy where there is no hash (EN-02); the caller holds a hashing slot. */
export async function checkPassword(
  { record }: Receipt,
  hasher: PasswordHasher,
  password: string,
): Promise<PasswordCheck> {
  const stored = record.password?.hash;
  const right = await hasher.verify(stored, password);
  if (!right || stored === undefined || !hasher.needsRehash(stored)) return { right };

  return { right, rehash: change().set(["password", "hash"], await hasher.hash(password)) };
}
