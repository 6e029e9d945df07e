import { digest } from "./digest.ts";
import { randomEntryId, randomSecret } from "./random.ts";

/** What a ticket or a mailed token names: a subject, an entry in its record, and a secret. */
export interface Handle {
  readonly subject: string;
  readonly entry: string;
  /** Absent where the host's own session vouches for the entry. */
  readonly secret?: string;
}

/** A new handle for a subject, with the digest under which its secret is stored. */
export function createHandle(subject: string): { handle: Required<Handle>; stored: string } {
  const handle = { subject, entry: randomEntryId(), secret: randomSecret() };
  return { handle, stored: digest(handle.secret) };
}

/** `<subject>.<entry>.<secret>` in one encoding: the account is found by `_id`, never by searching. */
export function writeHandle({ subject, entry, secret }: Required<Handle>): string {
  return Buffer.from([subject, entry, secret].join("\n"), "utf8").toString("base64url");
}

/** The handle in a text of a client's, or undefined. */
export function readHandle(text: string): Required<Handle> | undefined {
  if (text.length > 1024 || !/^[A-Za-z0-9_-]+$/.test(text)) return undefined;
  const [subject = "", entry = "", secret = "", ...rest] = Buffer.from(text, "base64url")
    .toString("utf8")
    .split("\n");
  if (rest.length > 0 || !/^[^\p{C}]{1,256}$/u.test(subject)) return undefined;
  if (!/^[A-Za-z0-9_-]{12}$/.test(entry) || !/^[A-Za-z0-9_-]{43}$/.test(secret)) return undefined;
  return { subject, entry, secret };
}
