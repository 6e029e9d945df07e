import { pbkdf2, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import {
  hash,
  hashRaw,
  parseOptions,
  verify,
  type Algorithm,
  type ParsedHashOptions,
} from "@node-rs/argon2";

/** Cost of new password hashes: argon2id, at or above the OWASP minimum (PW-08). */
export interface PasswordHasherOptions {
  /** KiB of memory, at most 1 GiB. @default 19456 */
  readonly memoryCost?: number;
  /** Passes, at most 10. @default 2 */
  readonly timeCost?: number;
  /** Lanes, at most 16. @default 1 */
  readonly parallelism?: number;
}

/** Makes and verifies password hashes. Takes no hashing slot: its caller does. */
export interface PasswordHasher {
  /** An argon2id PHC string with a random salt of 16 bytes. */
  hash(password: string): Promise<string>;
  /**
   * Whether the password belongs to the hash. No hash, a broken one and an unknown format are false, not an error, and
   * cost one verification at the current parameters, like any wrong password (EN-01, PW-09).
   */
  verify(hash: string | undefined, password: string): Promise<boolean>;
  /** Whether a verified password should be hashed anew, because its hash is weaker than today's or foreign (PW-09). */
  needsRehash(hash: string): boolean;
  /**
   * Whether `verify` can read the hash: argon2 in its three variants, scrypt and PBKDF2 as PHC strings, bcrypt if the
   * optional peer `bcryptjs` is installed. Parameters that would take the machine down are not supported.
   */
  supports(hash: string): Promise<boolean>;
}

type Check = (password: string) => Promise<boolean>;
type Reader = (hash: string) => Check | undefined | Promise<Check | undefined>;

// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- isolated modules cannot read a const enum
const ARGON2ID = 2 as Algorithm.Argon2id;
const OWASP_MINIMUM = { memoryCost: 19456, timeCost: 2, parallelism: 1 };
const ARGON2_LIMITS = { memoryCost: 1024 * 1024, timeCost: 10, parallelism: 16 };
const OWASP_MINIMA = [
  OWASP_MINIMUM,
  { memoryCost: 47104, timeCost: 1 },
  { memoryCost: 12288, timeCost: 3 },
];

const readers = new Map<string, Reader>([
  ["argon2id", readArgon2],
  ["argon2i", readArgon2],
  ["argon2d", readArgon2],
  ["2a", readBcrypt],
  ["2b", readBcrypt],
  ["2y", readBcrypt],
  ["scrypt", readScrypt],
  ["pbkdf2-sha256", readPbkdf2],
  ["pbkdf2-sha512", readPbkdf2],
]);

/**
 * Hashes with argon2id and verifies what other systems hashed. Passwords are brought to NFC here and nowhere else
 * (PW-05); nothing else is changed, so case, spaces and NUL count (PW-04). One exception, for imported bcrypt hashes
 * only: bcrypt itself ignores what follows 72 bytes, so a longer password is accepted by those bytes until the first
 * login, when `needsRehash` has it hashed as a whole.
 * @throws {TypeError} when the parameters are below the OWASP minimum or out of bounds.
 */
export function createPasswordHasher({
  memoryCost = OWASP_MINIMUM.memoryCost,
  timeCost = OWASP_MINIMUM.timeCost,
  parallelism = OWASP_MINIMUM.parallelism,
}: PasswordHasherOptions = {}): PasswordHasher {
  const cost = { memoryCost, timeCost, parallelism };
  assertCost(cost);

  // Costs what a real hash costs, and no password is known to fit it.
  const parameters = `m=${String(memoryCost)},t=${String(timeCost)},p=${String(parallelism)}`;
  const dummy = `$argon2id$v=19$${parameters}$${base64(randomBytes(16))}$${base64(randomBytes(32))}`;

  return {
    hash: (password) => hash(password.normalize("NFC"), { algorithm: ARGON2ID, ...cost }),

    async verify(stored, password) {
      const normal = password.normalize("NFC");
      try {
        const check = stored === undefined ? undefined : await readHash(stored);
        if (check !== undefined) return await check(normal);
      } catch {
        // Well-formed, yet refused by its algorithm: does the work below, as any unreadable hash.
      }
      await verify(dummy, normal);
      return false;
    },

    needsRehash(stored) {
      const made = parseArgon2(stored);
      return (
        made === undefined ||
        !stored.startsWith("$argon2id$v=19$") ||
        made.memoryCost < memoryCost ||
        made.timeCost < timeCost ||
        made.parallelism < parallelism ||
        made.saltLen < 16 ||
        made.outputLen < 32
      );
    },

    supports: async (stored) => (await readHash(stored)) !== undefined,
  };
}

/**
 * 32 bytes of argon2id at the OWASP minimum under a salt of at least 8 bytes: for codes too short for a keyed digest
 * alone, which must be found by what they give (BC-02).
 */
export function slowDigest(text: string, salt: Uint8Array): Promise<Uint8Array> {
  return hashRaw(text, { algorithm: ARGON2ID, ...OWASP_MINIMUM, outputLen: 32, salt });
}

function assertCost(cost: Required<PasswordHasherOptions>): void {
  for (const option of ["memoryCost", "timeCost", "parallelism"] as const) {
    if (
      !Number.isInteger(cost[option]) ||
      cost[option] < 1 ||
      cost[option] > ARGON2_LIMITS[option]
    ) {
      const limit = String(ARGON2_LIMITS[option]);
      throw new TypeError(`password hash: ${option} must be a whole number from 1 to ${limit}`);
    }
  }
  const strong = OWASP_MINIMA.some(
    (minimum) => cost.memoryCost >= minimum.memoryCost && cost.timeCost >= minimum.timeCost,
  );
  if (!strong) {
    throw new TypeError(
      "password hash: memoryCost and timeCost are below the OWASP minimum (19456 and 2, 47104 and 1, or 12288 and 3)",
    );
  }
}

async function readHash(stored: string): Promise<Check | undefined> {
  if (stored.length > 512) return undefined;
  const [, scheme = ""] = /^\$([a-z0-9-]+)\$/.exec(stored) ?? [];
  return readers.get(scheme)?.(stored);
}

function readArgon2(stored: string): Check | undefined {
  const made = parseArgon2(stored);
  if (
    made === undefined ||
    made.memoryCost < 8 * made.parallelism || // RFC 9106 3.1
    made.memoryCost > ARGON2_LIMITS.memoryCost ||
    made.timeCost > ARGON2_LIMITS.timeCost ||
    made.parallelism > ARGON2_LIMITS.parallelism ||
    made.outputLen < 16
  ) {
    return undefined;
  }
  return (password) => verify(stored, password);
}

function parseArgon2(stored: string): ParsedHashOptions | undefined {
  try {
    return parseOptions(stored);
  } catch {
    return undefined;
  }
}

async function readBcrypt(stored: string): Promise<Check | undefined> {
  // Cost 14 takes over a second of the event loop's own time; each step above doubles it.
  if (!/^\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/.test(stored)) return undefined;
  try {
    const { compare } = await import("bcryptjs");
    return (password) => compare(password, stored);
  } catch {
    return undefined; // the optional peer is not installed
  }
}

const deriveScrypt = promisify<string, Buffer, number, object, Buffer>(scrypt);

function readScrypt(stored: string): Check | undefined {
  const [, ln, r, p, salt = "", digest = ""] =
    /^\$scrypt\$ln=([1-9]\d?),r=([1-9]\d?),p=([1-9]\d?)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(
      stored,
    ) ?? [];
  const [N, blockSize, lanes] = [2 ** Number(ln), Number(r), Number(p)];
  // Four times OWASP's N=2^17, r=8, p=1: at most 512 MiB and about two seconds.
  const work = N * blockSize * lanes;
  const expected = readBase64(digest);
  if (!(work <= 2 ** 22) || expected.length < 16) return undefined; // NaN: not the format

  const options = { N, r: blockSize, p: lanes, maxmem: 128 * blockSize * (N + lanes + 2) };
  return async (password) =>
    timingSafeEqual(
      expected,
      await deriveScrypt(password, readBase64(salt), expected.length, options),
    );
}

const derivePbkdf2 = promisify(pbkdf2);

/** PHC, and passlib's spelling: bare number of iterations, `.` for `+`. */
function readPbkdf2(stored: string): Check | undefined {
  const [, digest = "", count, salt = "", derived = ""] =
    /^\$pbkdf2-(sha256|sha512)\$(?:i=)?([1-9]\d{0,6})\$([A-Za-z0-9+/.]+)\$([A-Za-z0-9+/.]+)$/.exec(
      stored,
    ) ?? [];
  const iterations = Number(count);
  const expected = readBase64(derived);
  if (!(iterations <= 5_000_000)) return undefined; // NaN: not the format
  if (expected.length < 16 || expected.length > 64) return undefined;

  return async (password) =>
    timingSafeEqual(
      expected,
      await derivePbkdf2(password, readBase64(salt), iterations, expected.length, digest),
    );
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}

function readBase64(text: string): Buffer {
  return Buffer.from(text.replaceAll(".", "+"), "base64");
}
