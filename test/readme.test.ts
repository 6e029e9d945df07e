import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import bcrypt from "bcryptjs";
import { generateSync, ScureBase32Plugin } from "otplib";
import supertest from "supertest";
import ts from "typescript";
import { AuthError, type Code } from "../lib/index.ts";
import { problemOf } from "../lib/middleware/index.ts";
import { openDatabase, type TestDatabase } from "./support/database.ts";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

/** The TypeScript of the README by the file it names; what is "continued" goes to the same file. */
function readmeFiles(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const [, block = ""] of readme.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const [, name] = /^\/\/ ([\w-]+\.ts)/.exec(block) ?? [];
    assert.ok(name, "a block names its file in its first line");
    files.set(name, (files.get(name) ?? "") + block);
  }
  return files;
}

/** The table that follows a comment, as rows of cells. */
function tablesAfter(comment: RegExp): readonly { match: readonly string[]; rows: string[][] }[] {
  return [...readme.matchAll(new RegExp(`${comment.source}\\n\\n((?:\\|.*\\n)+)`, "gm"))].map(
    (found) => ({
      match: found.slice(1, -1),
      rows: (found.at(-1) ?? "")
        .trim()
        .split("\n")
        .slice(2)
        .map((line) => line.split("|").map((cell) => cell.trim())),
    }),
  );
}

/** Files that the compiler reads: what the README says, in modules that only compile where it is true. */
function claims(): ReadonlyMap<string, string> {
  const options = tablesAfter(/<!-- options (\w+) (\S+) -->/).map(({ match, rows }, at) => {
    const [type = "", from = ""] = match;
    const named = rows.map(([, option = ""]) => `${option.replaceAll("`", '"')}: 0`).join(", ");
    const claim = `import type { ${type} } from "${from}";\nexport const options = { ${named} } satisfies Record<keyof ${type}, 0>;`;
    return [`options-${String(at)}.ts`, claim] as const;
  });
  const codes = Object.keys(codesInReadme()).map((code) => `${code}: 0`);
  const claim = `import type { Code } from "polyfactor";\nexport const codes = { ${codes.join(", ")} } satisfies Record<Code, 0>;`;
  return new Map([...options, ["codes.ts", claim]]);
}

function codesInReadme(): Readonly<Record<string, number>> {
  const rows = tablesAfter(/<!-- codes -->/).flatMap((table) => table.rows);
  return Object.fromEntries(
    rows.flatMap(([, status, codes = ""]) =>
      [...codes.matchAll(/`(\w+)`/g)].map(([, code = ""]) => [code, Number(status)]),
    ),
  );
}

/** What the project's compiler has against these files, seen as if they stood in `test/`. */
function compile(sources: ReadonlyMap<string, string>): readonly string[] {
  const config = ts.getParsedCommandLineOfConfigFile(
    join(root, "tsconfig.json"),
    {},
    {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: () => undefined,
    },
  );
  const options = config?.options ?? {};
  const folder = join(root, "test", "readme");
  const virtual = new Map([...sources].map(([name, text]) => [join(folder, name), text]));
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (name) => virtual.has(name) || disk.fileExists(name),
    readFile: (name) => virtual.get(name) ?? disk.readFile(name),
    getSourceFile(name, language, ...rest) {
      const text = virtual.get(name);
      return text === undefined
        ? disk.getSourceFile(name, language, ...rest)
        : ts.createSourceFile(name, text, language);
    },
  };
  const program = ts.createProgram([...virtual.keys()], options, host);
  return [...virtual.keys()]
    .map((name) => program.getSourceFile(name))
    .flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
    ])
    .map(({ file, messageText }) => {
      const name = file?.fileName.split("/").at(-1) ?? "";
      return `${name}: ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
    });
}

const secretForTests = "a key for tests that is long enough to be taken for one";

/** Runs one file of the README in a process of its own and answers its address. */
async function start(t: TestContext, name: string, { uri, connection }: TestDatabase) {
  const folder = await mkdtemp(join(tmpdir(), "polyfactor-readme-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  const tell = `server.on("listening", () => process.send?.((server.address() as { port: number }).port));\n`;
  await writeFile(join(folder, name), `${readmeFiles().get(name) ?? ""}${tell}`);

  const child = fork(join(folder, name), {
    cwd: root,
    execArgv: ["--import", import.meta.resolve("tsx")],
    env: {
      ...process.env,
      MONGODB_URI: uri.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)[^?]*/, `$1/${connection.name}`),
      AUTH_KEY: secretForTests,
      SESSION_SECRET: secretForTests,
      PORT: "0",
      NODE_NO_WARNINGS: "1",
    },
  });
  t.after(async () => {
    const gone = once(child, "exit");
    child.kill();
    await gone;
  });
  const [port] = (await once(child, "message")) as [number];
  return supertest.agent(`http://127.0.0.1:${String(port)}`);
}

const base32 = new ScureBase32Plugin();

/** The code an app shows now, or half a minute from now. */
function codeOf(secret: string, later = 0): string {
  const epoch = Math.floor(Date.now() / 1000) + later;
  return generateSync({ strategy: "totp", secret: base32.decode(secret), epoch });
}

test("what the README says of code, options and refusals compiles", () => {
  const found = compile(new Map([...readmeFiles(), ...claims()]));

  assert.equal(readmeFiles().size, 2);
  assert.ok(claims().size > 8);
  assert.deepEqual(found, []);
});

test("the README's app serves the family, its own routes and a session of the host's", async (t) => {
  const database = await openDatabase(t);
  const app = await start(t, "app.ts", database);
  const alice = { username: "alice", password: "seven quiet lanterns" };

  await app.post("/api/v1/auth/register").send({ ...alice, email: "alice@example.org" });
  const first = await app.post("/api/v1/auth/login").send(alice);
  const bearer = { Authorization: `Bearer ${String(dataOf(first).access_token)}` };
  const setup = await app.post("/api/v1/mfa/setup").set(bearer);
  const secret = String(dataOf(setup).secret);
  const confirmed = await app
    .post("/api/v1/mfa/verify")
    .set(bearer)
    .send({ totp_code: codeOf(secret) });
  const stepped = await app.post("/payments").set(bearer);
  const begun = await app.post("/login").type("form").send(alice);
  const between = await app.get("/me");
  const done = await app
    .post("/code")
    .type("form")
    .send({ code: codeOf(secret, 30) });
  const me = await app.get("/me");
  const refused = await app.post("/token").send({ ticket: "none", code: "123456" });

  assert.equal(confirmed.status, 200, confirmed.text);
  assert.equal(stepped.status, 200, stepped.text);
  assert.equal(begun.headers.location, "/code");
  assert.equal(between.status, 401);
  assert.equal(done.headers.location, "/");
  assert.deepEqual((me.body as { level: string }).level, "aal2");
  assert.equal(refused.status, 401);
});

test("the README's second factor on a host's own users asks for a code once there is an app", async (t) => {
  const database = await openDatabase(t);
  const app = await start(t, "own-users.ts", database);
  const password = "as it was before";
  await database.connection
    .collection("users")
    .insertOne({ email: "bob@example.org", password: await bcrypt.hash(password, 4) });
  const form = { email: "bob@example.org", password };

  const alone = await app.post("/login").type("form").send(form);
  const { uri } = (await app.post("/app")).body as { uri: string };
  const secret = new URL(uri).searchParams.get("secret") ?? "";
  const confirmed = await app
    .post("/app/confirm")
    .type("form")
    .send({ code: codeOf(secret) });
  const begun = await app.post("/login").type("form").send(form);
  const between = await app.post("/app");
  const done = await app
    .post("/code")
    .type("form")
    .send({ code: codeOf(secret, 30) });
  const within = await app.post("/app");

  assert.equal(alone.headers.location, "/");
  assert.equal(confirmed.status, 200, confirmed.text);
  assert.equal(begun.headers.location, "/code");
  assert.equal(between.status, 401);
  assert.equal(done.headers.location, "/");
  assert.equal(within.status, 200);
});

test("every refusal has the status that the README gives it", () => {
  const codes = Object.keys(codesInReadme()) as Code[];

  const statuses = codes.map((code) => [code, problemOf(new AuthError(code)).status]);

  assert.deepEqual(Object.fromEntries(statuses), codesInReadme());
});

function dataOf({ body }: { body: unknown }): Record<string, unknown> {
  return (body as { data: Record<string, unknown> }).data;
}
