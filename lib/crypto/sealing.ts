import { createCipheriv, createDecipheriv } from "node:crypto";
import { AuthError } from "../errors.ts";
import type { Keyring } from "./keyring.ts";
import { randomOctets } from "./random.ts";

/** Encrypts what must be read again: TOTP seeds. */
export interface Sealer {
  /** AES-256-GCM (NIST SP 800-38D), 96-bit random nonce: `<key id>.<nonce>.<ciphertext>.<tag>`. */
  seal(bytes: Uint8Array, context: string): string;
  /**
   * @throws AuthError `unavailable` where the key is no longer in the ring or the text is not what was
   * sealed for this context: a missing key must not open the door (TO-10).
   */
  open(sealed: string, context: string): Uint8Array;
  /** Whether it was sealed with the newest key; what was not is sealed anew when it is next used. */
  isCurrent(sealed: string): boolean;
}

/** `context` (whose seed, which device) is authenticated with it: a seed moved to another account does not open. */
export function createSealer(keyring: Keyring): Sealer {
  return {
    isCurrent: (sealed) => sealed.startsWith(`${keyring.current("seal").id}.`),
    seal(bytes, context) {
      const { id, key } = keyring.current("seal");
      const nonce = randomOctets(12);
      const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(Buffer.from(context, "utf8"));
      const text = Buffer.concat([cipher.update(bytes), cipher.final()]);
      return [id, ...[nonce, text, cipher.getAuthTag()].map(encode)].join(".");
    },
    open(sealed, context) {
      const [id = "", nonce = "", text = "", tag = ""] = sealed.split(".");
      const key = keyring.find("seal", id)?.key;
      if (key === undefined) throw new AuthError("unavailable", { reason: "seal_key_missing" });
      try {
        const decipher = createDecipheriv("aes-256-gcm", key, decode(nonce), { authTagLength: 16 })
          .setAAD(Buffer.from(context, "utf8"))
          .setAuthTag(decode(tag));
        return Buffer.concat([decipher.update(decode(text)), decipher.final()]);
      } catch (cause) {
        throw new AuthError("unavailable", { reason: "seal_broken", cause });
      }
    },
  };
}

function encode(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function decode(text: string): Buffer {
  return Buffer.from(text, "base64url");
}
