import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, realpath, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { commandLine, endProcess, isRunning, readText, until } from "./running-process.ts";

/** What a mongod is started with. */
export interface MongodOptions {
  readonly binary: string;
  /** Holds its data, its log and a note of the process it belongs to. */
  readonly folder: string;
  readonly replicaSet: string;
  readonly parameters: readonly string[];
}

/** A mongod that accepts connections on 127.0.0.1. */
export interface MongodProcess {
  readonly port: number;
  stop(): Promise<void>;
}

const startMs = 60_000;
const exitCodes = { addressInUse: 48, otherVersion: 62 };

/** Starts a mongod on a free port, first ending one that a killed process left on this folder. */
export async function startMongod(options: MongodOptions): Promise<MongodProcess> {
  await mkdir(options.folder, { recursive: true });
  const folder = await realpath(options.folder);
  await takeOver(folder);

  for (;;) {
    const mongod = await launch({ ...options, folder });
    if (mongod !== undefined) return mongod;
  }
}

/** Undefined when another process took the port first. */
async function launch(options: MongodOptions): Promise<MongodProcess | undefined> {
  const { binary, folder } = options;
  const port = await freePort();
  const logFile = join(folder, "mongod.log");
  await rm(logFile, { force: true });

  // In a process group of its own: Ctrl-C must not end it before the app is done with it.
  const mongod = spawn(binary, mongodArguments(options, port, logFile), {
    detached: true,
    stdio: "ignore",
  });
  await once(mongod, "spawn");
  mongod.unref();
  endWithThisProcess(mongod);

  const isUp = async () => (await readText(logFile)).includes('"Waiting for connections"');
  const settled = await until(async () => hasExited(mongod) || (await isUp()), startMs);
  if (mongod.exitCode === exitCodes.addressInUse) return undefined;
  if (!settled || hasExited(mongod)) {
    await stop(mongod);
    throw failure(mongod, options, logFile);
  }

  await writeFile(ownerFile(folder), String(process.pid));
  return { port, stop: () => stop(mongod) };
}

function mongodArguments(options: MongodOptions, port: number, logFile: string): string[] {
  const { folder, replicaSet, parameters } = options;
  return [
    ...["--dbpath", folder, "--logpath", logFile, "--quiet"],
    ...["--bind_ip", "127.0.0.1", "--port", String(port), "--nounixsocket"],
    ...["--replSet", replicaSet, "--oplogSize", "50", "--wiredTigerCacheSizeGB", "0.25"],
    // The journal is laid out ahead of use: three files of 100 MB unless they are told to be small.
    "--wiredTigerEngineConfigString=log=(file_max=16MB)",
    ...[...ownParameters, ...parameters].flatMap((parameter) => ["--setParameter", parameter]),
  ];
}

const ownParameters = [
  "diagnosticDataCollectionEnabled=false",
  // A primary told to stop waits fifteen seconds for its clients.
  "shutdownTimeoutMillisForSignaledShutdown=500",
];

/** A pipe closes however this process ends: no handler of ours would run on SIGKILL. */
function endWithThisProcess(mongod: ChildProcess): void {
  const guard = spawn("/bin/sh", ["-c", 'read -r _; kill "$1"', "sh", String(mongod.pid)], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  // Without a shell the server outlives this process, and the next start takes it over.
  guard.on("error", () => undefined);
  guard.unref();
  mongod.once("exit", () => guard.kill());
}

/** Ends the mongod that runs on this folder, unless the process it was started for is alive. */
async function takeOver(folder: string): Promise<void> {
  const pid = Number(await readText(join(folder, "mongod.lock")));
  if (pid === 0 || !(await isMongodOn(folder, pid))) return;

  const owner = Number(await readText(ownerFile(folder)));
  if (owner !== 0 && (await isRunning(owner))) {
    throw new Error(
      `${folder} is in use by process ${String(owner)}: stop it or name another folder`,
    );
  }
  await endProcess(pid);
}

async function isMongodOn(folder: string, pid: number): Promise<boolean> {
  return (await commandLine(pid)).includes(` --dbpath ${folder} `);
}

async function stop(mongod: ChildProcess): Promise<void> {
  // The number of a process that ended may be another's by now.
  if (mongod.pid !== undefined && !hasExited(mongod)) await endProcess(mongod.pid);
}

function failure(mongod: ChildProcess, options: MongodOptions, logFile: string): Error {
  const outcome = mongod.exitCode ?? mongod.signalCode ?? "no answer";
  const message = `mongod did not start (${String(outcome)}), see ${logFile}`;
  if (outcome !== exitCodes.otherVersion) return new Error(message);

  return new Error(
    `${message}. The data in ${options.folder} was written by another version of MongoDB: ` +
      "remove the folder, or set MONGOD to a mongod of that version.",
  );
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function ownerFile(folder: string): string {
  return join(folder, "owner");
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
