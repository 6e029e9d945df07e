import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);
const patienceMs = 10_000;

/** Whether there is a process with this number, whoever it belongs to. */
export async function isRunning(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
  // Where nobody reaps orphans, as in a container without an init, the dead stay as zombies.
  return !(await readText(`/proc/${String(pid)}/stat`)).includes(") Z ");
}

/** What a process was started with, each word followed by a blank; empty when there is none. */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform === "linux") {
    return (await readText(`/proc/${String(pid)}/cmdline`)).replaceAll("\0", " ");
  }
  const listing = run("ps", ["-ww", "-o", "command=", "-p", String(pid)]);
  return listing.then(
    ({ stdout }) => `${stdout.trim()} `,
    () => "",
  );
}

/** Asks a process to end, then makes it. */
export async function endProcess(pid: number): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!(await isRunning(pid))) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (codeOf(error) !== "ESRCH") throw error;
    }
    if (await until(async () => !(await isRunning(pid)), patienceMs)) return;
  }
}

/** A file's text, empty when there is no such file. */
export async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    // A process that ends while its /proc entry is read gives ESRCH.
    if (["ENOENT", "ESRCH"].includes(codeOf(error) ?? "")) return "";
    throw error;
  });
}

/** Asks again and again; false when the answer was not yes in time. */
export async function until(
  probe: () => Promise<boolean> | boolean,
  milliseconds: number,
): Promise<boolean> {
  const deadline = Date.now() + milliseconds;
  while (!(await probe())) {
    if (Date.now() > deadline) return false;
    await delay(20);
  }
  return true;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
