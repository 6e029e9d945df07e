import { createHmac, hkdfSync } from "node:crypto";

/** A secret of the host's. The first of a ring is used; the others still verify and open (JW-11). */
export interface Key {
  /** Names the secret in what was made with it: letters, digits, `_`, `-`, at most 32. */
  readonly id: string;
  /** At least 32 bytes, from a random generator. */
  readonly secret: string | Uint8Array;
}

/** What a derived key is for. One key never serves two purposes (CR-03). */
export type KeyPurpose = "seal" | "backup-code" | "access-token" | "refresh-token";

/** A derived key with the id of the secret it comes from. */
export interface DerivedKey {
  readonly id: string;
  readonly key: Uint8Array;
}

/** Keys derived from a ring of secrets (HKDF-SHA-256, RFC 5869), one for each purpose. */
export interface Keyring {
  /** The key that new things are made with. */
  current(purpose: KeyPurpose): DerivedKey;
  /** The key of that id, or undefined. */
  find(purpose: KeyPurpose, id: string): DerivedKey | undefined;
  all(purpose: KeyPurpose): readonly DerivedKey[];
}

const PURPOSES: readonly KeyPurpose[] = ["seal", "backup-code", "access-token", "refresh-token"];

/**
 * Check and derive.
 *
 * @throws TypeError naming the option, never the value (CR-04): no keys, an id that is not one or
 * stands twice, a secret below 32 bytes, one that stands twice, one that is a single repeated byte.
 */
export function createKeyring(keys: readonly Key[]): Keyring {
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new TypeError("keys: at least one { id, secret } is needed");
  }
  const secrets = (keys as readonly Key[]).map((key: Partial<Key> | null, at) => {
    const { id, secret } = key ?? {};
    if (typeof id !== "string" || !/^[A-Za-z0-9_-]{1,32}$/.test(id)) {
      throw new TypeError(`keys[${at}].id: 1 to 32 letters, digits, "_" or "-"`);
    }
    return { id, bytes: octetsOf(secret, at) };
  });
  refuseTwice(
    "id",
    secrets.map(({ id }) => id),
  );
  refuseTwice(
    "secret",
    secrets.map(({ bytes }) => bytes.toString("hex")),
  );

  const derived = new Map(
    PURPOSES.map((purpose) => [
      purpose,
      secrets.map(({ id, bytes }) => derive(id, bytes, purpose)),
    ]),
  );
  const all = (purpose: KeyPurpose): readonly DerivedKey[] => derived.get(purpose) ?? [];
  return {
    all,
    current(purpose) {
      const [first] = all(purpose);
      if (first === undefined) throw new TypeError("keys: none for this purpose");
      return first;
    },
    find: (purpose, id) => all(purpose).find((key) => key.id === id),
  };
}

function octetsOf(secret: unknown, at: number): Buffer {
  if (typeof secret !== "string" && !(secret instanceof Uint8Array)) {
    throw new TypeError(`keys[${at}].secret: a string or bytes`);
  }
  const bytes = typeof secret === "string" ? Buffer.from(secret, "utf8") : Buffer.from(secret);
  if (bytes.length < 32) throw new TypeError(`keys[${at}].secret: at least 32 bytes`);
  if (new Set(bytes).size < 8) throw new TypeError(`keys[${at}].secret: not random`);
  return bytes;
}

function refuseTwice(what: string, values: readonly string[]): void {
  if (new Set(values).size < values.length) throw new TypeError(`keys: the same ${what} twice`);
}

function derive(id: string, secret: Uint8Array, purpose: KeyPurpose): DerivedKey {
  const key = new Uint8Array(hkdfSync("sha256", secret, "", `polyfactor/${purpose}`, 32));
  return { id, key };
}

/** HMAC-SHA-256, base64url. */
export function keyedDigest(key: Uint8Array, message: string | Uint8Array): string {
  return createHmac("sha256", key).update(message).digest("base64url");
}
