import { readdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { sharedServerVariable, startTestServer } from "./support/server.ts";

const fileTimeoutMs = 600_000;

/** Every test file, or those whose path contains one of the words. */
async function findTestFiles(words: readonly string[]): Promise<string[]> {
  const names = await readdir(import.meta.dirname, { recursive: true });
  const files = names
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => relative(process.cwd(), join(import.meta.dirname, name)))
    .sort();
  if (words.length === 0) return files;

  const wanted = words.map((word) => relative(process.cwd(), resolve(word)));
  return files.filter((file) => wanted.some((word) => file.includes(word)));
}

/** Runs the files and answers why tests were skipped. */
async function runTests(files: readonly string[], signal: AbortSignal): Promise<string[]> {
  const skipped: string[] = [];
  // One file at a time: a failpoint of the server is set for all of its clients.
  const tests = run({ files: [...files], concurrency: 1, timeout: fileTimeoutMs, signal });
  tests.on("test:pass", ({ name, skip }) => {
    if (skip !== undefined) skipped.push(`skipped: ${name} (${String(skip)})`);
  });
  tests.on("test:fail", ({ todo }) => {
    if (todo === undefined) process.exitCode = 1;
  });
  await pipeline(tests, new spec(), process.stdout, { end: false });
  return skipped;
}

const files = await findTestFiles(process.argv.slice(2));
if (files.length === 0) throw new Error("No test file matches");

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    process.exitCode = 1;
    interruption.abort();
  });
}

const server = await startTestServer();
process.env[sharedServerVariable] = server.uri;
try {
  for (const line of await runTests(files, interruption.signal)) console.log(line);
} finally {
  await server.stop();
}
