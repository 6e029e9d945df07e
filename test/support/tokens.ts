import { decodeJwt, SignJWT } from "jose";
import { createKeyring, type Key, type KeyPurpose } from "../../lib/crypto/keyring.ts";

/** The key that the library signs one kind of token with. */
export function signingKey(keys: readonly Key[], purpose: KeyPurpose): Uint8Array {
  return createKeyring(keys).current(purpose).key;
}

/** A token like another one, but for what is given. */
export interface Forgery {
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Claims to leave out. */
  readonly without?: readonly string[];
  readonly header?: Readonly<Record<string, unknown>>;
  readonly key: Uint8Array;
}

/** Signs the claims of a good token anew, with some of them changed. */
export function forge(
  token: string,
  { claims = {}, without = [], header = {}, key }: Forgery,
): Promise<string> {
  const kept = Object.entries({ ...decodeJwt(token), ...claims }).filter(
    ([name]) => !without.includes(name),
  );
  return new SignJWT(Object.fromEntries(kept))
    .setProtectedHeader({ alg: "HS256", typ: "at+jwt", kid: "k1", ...header })
    .sign(key);
}

/** A token of these parts; signed by nobody unless a signature is given. */
export function assemble(header: unknown, claims: unknown, signature = ""): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part(header)}.${part(claims)}.${signature}`;
}
