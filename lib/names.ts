import { domainToASCII } from "node:url";
import { digest } from "./crypto/digest.ts";
import { AuthError } from "./errors.ts";

/** Kinds of names. User names and addresses are one kind, so that no string means two accounts. */
export type NameKind = "name" | "idp";

/** Code points and characters that a name may have (RFC 5321 §4.5.3.1.3 for addresses). */
const LONGEST = 254;
/** Control, format, surrogate, private-use, unassigned, line- and space-separating characters. */
const FORBIDDEN = /[\p{C}\p{Z}]/u;
const LOCAL_PART = /^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$/;
const DOMAIN = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** An address as it is stored and written to, and the form under which it is found. */
export interface Address {
  readonly address: string;
  readonly canonical: string;
}

/**
 * Read an e-mail address: trimmed, local part of ASCII atoms (so that nothing in it can steer a mail,
 * OB-09), domain as a lower-case A-label. Found under its lower-case form (IV-05, IV-06).
 *
 * @throws AuthError `invalid_input`
 */
export function readAddress(typed: string): Address {
  const text = typed.slice(0, 2 * LONGEST).trim();
  const at = text.lastIndexOf("@");
  const local = text.slice(0, Math.max(0, at));
  const domain = domainToASCII(text.slice(at + 1));
  const address = `${local}@${domain}`;
  const fits = local.length <= 64 && address.length <= LONGEST && typed.length <= 2 * LONGEST;
  // domainToASCII mends what no mail domain has: only letters, digits, hyphens, dots may come in or out.
  // Digits alone would have become an IP address.
  const plain =
    /^[\p{L}\p{M}\p{N}.-]+$/u.test(text.slice(at + 1)) &&
    DOMAIN.test(domain) &&
    !/(?:^|\.)\d+$/.test(domain);
  if (at < 1 || !fits || !plain || !LOCAL_PART.test(local)) {
    throw new AuthError("invalid_input", { reason: "address", field: "email" });
  }
  return { address, canonical: address.toLowerCase() };
}

/**
 * The form under which a user name is found. Letters of any script, but only such as have one spelling
 * (NFKC), so that no two names look or fold alike by compatibility: `Kelvin` with U+212A is refused,
 * not folded into its twin.
 *
 * @throws AuthError `invalid_input`: under 3 or over 254 characters, spaces inside, invisible characters.
 */
export function canonicalName(typed: string): string {
  if (typed.length > 2 * LONGEST) throw refused();
  // NFC itself folds some characters into others (U+212A into K): such a spelling is refused as well.
  if (Array.from(typed).some((point) => point !== point.normalize("NFC"))) throw refused();
  const name = typed.trim().normalize("NFC");
  if (name.includes("@")) return readAddress(name).canonical;
  const length = Array.from(name).length;
  if (length < 3 || length > LONGEST || FORBIDDEN.test(name)) throw refused();
  if (name !== name.normalize("NFKC")) throw refused();
  return name.toLowerCase().normalize("NFC");
}

function refused(): AuthError {
  return new AuthError("invalid_input", { reason: "name", field: "username" });
}

/** The `_id` of a name's document: SHA-256 of tenant, kind and canonical form. */
export function nameKey(tenant: string, kind: NameKind, canonical: string): string {
  return digest([tenant, kind, canonical].join("\n"));
}
