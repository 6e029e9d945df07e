import { randomBytes, randomInt } from "node:crypto";

/** A random secret of 256 bits, base64url (RT-01, MC-02). */
export function randomSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** A random id of 128 bits in lower-case hex: fit for a path segment, a URL and a person's eye. */
export function randomId(): string {
  return randomBytes(16).toString("hex");
}

/** A short random id, unique within one account: 72 bits, base64url. */
export function randomEntryId(): string {
  return randomBytes(9).toString("base64url");
}

/** Random bytes. */
export function randomOctets(length: number): Uint8Array {
  return randomBytes(length);
}

/** A string of uniformly drawn letters of an alphabet (no modulo bias, OB-03). */
export function randomText(length: number, alphabet: string): string {
  return Array.from({ length }, () => alphabet.charAt(randomInt(alphabet.length))).join("");
}
