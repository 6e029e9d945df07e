import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";

const decompress = promisify(brotliDecompress);

let list: Promise<Buffer> | undefined;

/**
 * Whether a password, as a whole and in any case, is one of 109,458 common ones (PW-06): the 100,000 most frequent of at
 * least 8 characters, and every longer one of at least 15 among the million most frequent. From SecLists,
 * `10-million-password-list-top-1000000.txt` (MIT); `scripts/common-passwords.ts` writes the data.
 *
 * The first call unpacks the list, off the event loop; from then on it takes 1.1 MB of memory.
 */
export async function isCommonPassword(password: string): Promise<boolean> {
  if (password.includes("\n")) return false; // it would match two neighbours of the list as one entry

  list ??= unpack();
  return (await list).includes(`\n${password.normalize("NFC").toLowerCase()}\n`);
}

async function unpack(): Promise<Buffer> {
  const { commonPasswords } = await import("./common-passwords.data.ts");
  return decompress(Buffer.from(commonPasswords, "base64"));
}
