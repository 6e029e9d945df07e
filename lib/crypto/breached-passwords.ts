import { createHash } from "node:crypto";
import type { ReadableStreamDefaultReader } from "node:stream/web";

import { withDeadline } from "../deadline.ts";

/** Whether a password is known from a breach. An answer that cannot be had is `false`: the local list decides then. */
export type BreachCheck = (password: string) => Promise<boolean>;

/** Where breached passwords are looked up. */
export interface PwnedPasswordsOptions {
  /**
   * Base of the range API; a mirror of your own may stand here. HTTPS, or plain HTTP on the loopback interface.
   * @default "https://api.pwnedpasswords.com/range/"
   */
  readonly url?: string;
  /**
   * Milliseconds for the whole answer, at most 2000.
   * @default 2000
   */
  readonly timeout?: number;
  /** @default globalThis.fetch */
  readonly fetch?: typeof globalThis.fetch;
}

const MAX_ANSWER = 1024 * 1024; // bytes; a padded range is about 60 kB
const MAX_TIMEOUT = 2000; // PW-07
const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Looks a new password up in Have I Been Pwned's range API (PW-07). Five hex digits of its SHA-1 leave the process, the
 * number of rows in the answer is padded against whoever watches the line, and any failure answers `false`. For setting
 * passwords only: never call it at login.
 * @throws {TypeError} when `url` or `timeout` is out of bounds.
 */
export function pwnedPasswords({
  url = "https://api.pwnedpasswords.com/range/",
  timeout = MAX_TIMEOUT,
  fetch = globalThis.fetch,
}: PwnedPasswordsOptions = {}): BreachCheck {
  const base = readBase(url);
  if (!Number.isInteger(timeout) || timeout < 1 || timeout > MAX_TIMEOUT) {
    throw new TypeError(
      `pwnedPasswords: timeout must be between 1 and ${String(MAX_TIMEOUT)} milliseconds`,
    );
  }

  return async (password) => {
    const digest = createHash("sha1").update(password).digest("hex").toUpperCase();
    const abort = new AbortController();
    try {
      const response = fetch(base + digest.slice(0, 5), {
        headers: { "Add-Padding": "true" },
        redirect: "error",
        signal: abort.signal,
      });
      // A signal alone is not enough: fetch holds it weakly, and a stalled body outlived it by minutes.
      const rows = await withDeadline(readRows(response, abort.signal), timeout, "pwned_passwords");
      return listsSuffix(rows, digest.slice(5));
    } catch {
      return false;
    } finally {
      abort.abort();
    }
  };
}

function readBase(url: string): string {
  const { protocol, hostname } = URL.canParse(url) ? new URL(url) : { protocol: "", hostname: "" };
  if (protocol !== "https:" && !(protocol === "http:" && LOOPBACK.has(hostname))) {
    throw new TypeError("pwnedPasswords: url must be an HTTPS address"); // 20 bits of the hash are worth hiding
  }
  return url.endsWith("/") ? url : `${url}/`;
}

async function readRows(response: Promise<Response>, signal: AbortSignal): Promise<string> {
  const { status, body } = await response;
  if (status !== 200 || body === null) {
    await body?.cancel();
    throw new Error(`the range API answered ${String(status)}`);
  }

  const reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  signal.addEventListener("abort", () => {
    reader.cancel().catch(() => undefined); // fails if fetch was first to end it
  });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.byteLength;
    if (size > MAX_ANSWER) throw new RangeError("the range API answered too much");
    chunks.push(part.value);
  }
  return Buffer.concat(chunks).toString("latin1");
}

function listsSuffix(rows: string, suffix: string): boolean {
  return rows.split(/\r?\n/).some((row) => {
    const [listed, count] = row.split(":");
    return listed?.toUpperCase() === suffix && Number(count) > 0; // padding rows count 0
  });
}
