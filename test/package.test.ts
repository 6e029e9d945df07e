import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

interface Tarball {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const peers = Object.keys(manifest.peerDependencies);

const subpaths = Object.keys(manifest.exports).filter((name) => name !== "./package.json");
const needsPeer = (name: string): boolean => /^\.\/(routers|store|delivery)\//.test(name);
const publicName = (name: string): string => `polyfactor${name.slice(1)}`;

/** A user's project, somewhere else, with the tarball and what it depends on. */
let project: string;
let tarball: Tarball;

before(
  async () => {
    project = await mkdtemp(join(tmpdir(), "polyfactor-user-"));
    // `prepack` builds, and its lines come before the JSON.
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project], {
      cwd: root,
    });
    const [packed] = JSON.parse(stdout.slice(stdout.search(/^\[/m))) as Tarball[];
    assert.ok(packed);
    tarball = packed;

    await writeFile(join(project, "package.json"), '{ "private": true, "type": "module" }\n');
    const quietly = [
      "--no-save",
      "--ignore-scripts",
      "--prefer-offline",
      "--no-audit",
      "--no-fund",
    ];
    await run("npm", ["install", ...quietly, join(project, tarball.filename)], { cwd: project });
  },
  { timeout: 150_000 },
);

after(async () => {
  await rm(project, { recursive: true, force: true });
});

/** Import each in a process that has what the project has installed and nothing else. */
async function countExports(names: readonly string[]): Promise<Record<string, number>> {
  const script = `
    const counts = {};
    for (const name of process.argv.slice(1)) counts[name] = Object.keys(await import(name)).length;
    process.stdout.write(JSON.stringify(counts));
  `;
  const { stdout } = await run(
    process.execPath,
    ["--input-type=module", "--eval", script, ...names],
    // The runner's own loader would find the sources.
    { cwd: project, env: { ...process.env, NODE_OPTIONS: "" } },
  );
  return JSON.parse(stdout) as Record<string, number>;
}

const withoutExports = (counts: Record<string, number>): string[] =>
  Object.keys(counts).filter((name) => counts[name] === 0);

test("the tarball holds what was built and the documents, and no source", () => {
  const paths = tarball.files.map(({ path }) => path);
  const documents = ["CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "package.json"];

  const others = paths.filter((path) => !/^dist\/.+\.(js|d\.ts)$/.test(path));

  assert.deepEqual(others.toSorted(), documents);
});

test("the tarball brings its plain dependencies and none of its optional peers", () => {
  const has = (name: string): boolean => existsSync(join(project, "node_modules", name));

  assert.deepEqual(
    Object.keys(manifest.dependencies).filter((name) => !has(name)),
    [],
  );
  assert.deepEqual(peers.filter(has), []);
});

test("the core, its middleware and each strategy load where no optional peer is installed", async () => {
  const names = subpaths.filter((name) => !needsPeer(name)).map(publicName);

  const counts = await countExports(names);

  assert.deepEqual(Object.keys(counts), names);
  assert.deepEqual(withoutExports(counts), []);
});

// Last, because it adds the peers to the project.
test("every subpath loads where the peers are installed too", async () => {
  for (const name of peers) {
    await symlink(
      join(root, "node_modules", name),
      join(project, "node_modules", name),
      "junction",
    );
  }
  const names = subpaths.map(publicName);

  const counts = await countExports(names);

  assert.deepEqual(Object.keys(counts), names);
  assert.deepEqual(withoutExports(counts), []);
});
