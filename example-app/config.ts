import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Key } from "polyfactor";

/** What the app is told by its environment. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string;
  readonly keys: readonly Key[];
  /** Absent: mails are kept in the outbox, on a loopback address only. */
  readonly smtpUrl: string | undefined;
  readonly smtpFrom: string;
  readonly dataDirectory: string;
  /** Proxies between the client and the app: each is believed about the address before it. */
  readonly trustProxy: number;
  /** Whether mails and text messages can be read at `/outbox`. */
  readonly outbox: boolean;
}

const LOOPBACK = /^(?:localhost|127(?:\.\d+){3}|::1)$/;

/**
 * Read `HOST`, `PORT`, `PUBLIC_URL`, `SMTP_URL`, `SMTP_FROM`, `KEYS`, `DATA_DIR` and `TRUST_PROXY`.
 *
 * @throws Error naming the variable; in production also where `KEYS`, `MONGODB_URI` or `SMTP_URL` is missing.
 */
export function readConfig(env: NodeJS.ProcessEnv, warn: (line: string) => void): Config {
  const production = env.NODE_ENV === "production";
  for (const name of production ? ["KEYS", "MONGODB_URI", "SMTP_URL"] : []) {
    if (!env[name]) throw new Error(`${name}: needed in production`);
  }
  const { HOST: host = "127.0.0.1", PORT: port = "3000", SMTP_URL: smtpUrl, KEYS: keys } = env;
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new Error("PORT: a port number");
  const proxies = env.TRUST_PROXY ?? "0";
  if (!/^\d$/.test(proxies)) throw new Error("TRUST_PROXY: the number of proxies, 0 to 9");
  const publicUrl = env.PUBLIC_URL ?? `http://localhost:${port}`;
  if (!URL.canParse(publicUrl)) throw new Error("PUBLIC_URL: an absolute URL");
  if (!smtpUrl && !LOOPBACK.test(host)) {
    throw new Error("SMTP_URL: needed where HOST is not a loopback address");
  }
  const dataDirectory = env.DATA_DIR ?? ".data";

  return {
    host,
    port: Number(port),
    publicUrl,
    keys: keys ? readKeys(keys) : keptKeys(dataDirectory, warn),
    smtpUrl: smtpUrl === "" ? undefined : smtpUrl,
    smtpFrom: env.SMTP_FROM ?? `login@${new URL(publicUrl).hostname}`,
    dataDirectory,
    trustProxy: Number(proxies),
    outbox: !smtpUrl && !production,
  };
}

/** `id:secret`, separated by commas, the newest first. */
function readKeys(text: string): readonly Key[] {
  return text.split(",").map((part) => {
    const [, id, secret] = /^([^:]+):(.+)$/.exec(part.trim()) ?? [];
    if (id === undefined || secret === undefined)
      throw new Error("KEYS: id:secret, comma-separated");
    return { id, secret };
  });
}

/** Keys of this machine's own, made at the first start: what they sealed survives a restart. */
function keptKeys(directory: string, warn: (line: string) => void): readonly Key[] {
  const file = join(directory, "keys");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const written = join(directory, `keys.${process.pid}`);
  try {
    // Whole or not at all: a file that was cut short would stop every later start.
    writeFileSync(written, `k1:${randomBytes(32).toString("base64url")}`, { mode: 0o600 });
    linkSync(written, file);
    warn(`KEYS is not set: a key was made and is kept in ${file}. For trying only.`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(written, { force: true });
  }
  return readKeys(readFileSync(file, "utf8"));
}
