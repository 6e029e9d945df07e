import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join, posix } from "node:path";
import { test } from "node:test";
import ts from "typescript";

const root = join(import.meta.dirname, "..");

interface Manifest {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const peers = Object.keys(manifest.peerDependencies);

interface Import {
  readonly file: string;
  /** A file of the project, seen from its root, or the name of a package. */
  readonly target: string;
  readonly specifier: string;
  readonly isPackage: boolean;
  /** "type" leaves no trace in the JavaScript, "static" loads with the file, "lazy" is `import()`. */
  readonly kind: "type" | "static" | "lazy";
}

function sourcesIn(folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => posix.join(folder, name.replaceAll("\\", "/")));
}

function packageOf(specifier: string): string {
  return specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
  const found: Import[] = [];

  const add = (node: ts.Node | undefined, kind: Import["kind"]): void => {
    if (node === undefined || !ts.isStringLiteralLike(node) || isBuiltin(node.text)) return;
    const isPackage = !node.text.startsWith(".");
    const target = isPackage ? packageOf(node.text) : posix.join(posix.dirname(file), node.text);
    found.push({ file, target, specifier: node.text, isPackage, kind });
  };

  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      // `import { type X }` is not one of these: it stays in the JavaScript as `import {}`.
      const isType = node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      add(node.moduleSpecifier, isType ? "type" : "static");
    } else if (ts.isExportDeclaration(node)) {
      add(node.moduleSpecifier, node.isTypeOnly ? "type" : "static");
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal, "type");
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], "lazy");
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const library = ["lib", "strategies", "routers"].flatMap(sourcesIn).flatMap(importsOf);
const apps = readdirSync(root)
  .filter((name) => name.startsWith("example"))
  .flatMap(sourcesIn)
  .flatMap(importsOf);

const areas = {
  entry: /^lib\/index\.ts$/,
  root: /^lib\/[^/]+$/,
  flows: /^lib\/flows\//,
  factors: /^lib\/factors\//,
  crypto: /^lib\/crypto\//,
  port: /^lib\/store\/port\.ts$/,
  store: /^lib\/store\//,
  delivery: /^lib\/delivery\//,
  middleware: /^lib\/middleware\//,
  strategies: /^strategies\//,
  routers: /^routers\//,
};
type Area = keyof typeof areas;

/** The first pattern that fits says where a file belongs. */
function areaOf(file: string): Area | undefined {
  return (Object.keys(areas) as Area[]).find((area) => areas[area].test(file));
}

const core = ["root", "flows", "factors", "crypto", "port", "delivery"] as const;

const allowed: Readonly<Record<Area, readonly Area[]>> = {
  routers: ["routers", "strategies", "entry", "middleware", ...core],
  strategies: ["strategies", "entry", "middleware", ...core],
  entry: [...core, "store"],
  root: core,
  flows: core,
  factors: ["factors", "crypto", "port", "root"],
  crypto: ["crypto", "root"],
  port: ["port", "root"],
  store: ["store", "port", "crypto", "root"],
  delivery: ["delivery", "crypto", "root"],
  middleware: ["middleware", ...core],
};

function goesTheWrongWay({ file, target, isPackage }: Import): boolean {
  if (isPackage) return false;
  const from = areaOf(file);
  const to = areaOf(target);
  return from === undefined || to === undefined || !allowed[from].includes(to);
}

const inWords = ({ file, specifier, kind }: Import): string => `${file} → ${specifier} (${kind})`;

/** What is loaded, at once and without asking, with these files. */
function loadedWith(entries: readonly string[]): { files: Set<string>; packages: Set<string> } {
  const files = new Set(entries);
  const packages = new Set<string>();
  // A Set's iterator also visits what is added while it runs.
  for (const file of files) {
    for (const { target, isPackage } of library.filter(
      (i) => i.file === file && i.kind === "static",
    ))
      (isPackage ? packages : files).add(target);
  }
  return { files, packages };
}

test("routers import strategies and the core, strategies the core, flows factors, and never back", () => {
  assert.deepEqual(library.filter(goesTheWrongWay).map(inWords), []);
});

test("a router family imports no other family", () => {
  const family = (file: string): string | undefined => /^routers\/([^/]+)\//.exec(file)?.[1];

  const across = library.filter(({ file, target }) => {
    const other = family(target);
    return family(file) !== undefined && other !== undefined && other !== "shared"
      ? other !== family(file)
      : false;
  });

  assert.deepEqual(across.map(inWords), []);
});

test("no file of the library is loaded by a file that it loads", () => {
  const files = new Set(library.map(({ file }) => file));

  const inCircles = [...files].filter((file) => {
    const next = library.filter((i) => i.file === file && i.kind === "static" && !i.isPackage);
    return loadedWith(next.map(({ target }) => target)).files.has(file);
  });

  assert.deepEqual(inCircles, []);
});

test("the core imports neither Express nor Passport; its middleware knows Express by type only", () => {
  const web = library
    .filter(({ file }) => file.startsWith("lib/"))
    .filter(({ target }) => ["express", "express-session", "passport"].includes(target))
    .filter(
      ({ file, target, kind }) =>
        areaOf(file) !== "middleware" || target !== "express" || kind !== "type",
    );

  assert.deepEqual(web.map(inWords), []);
});

test("the core, its middleware and each strategy load no optional peer", () => {
  const strategies = Object.keys(manifest.exports)
    .filter((name) => name.startsWith("./strategies/"))
    .map((name) => `${name.slice(2)}.ts`);

  const { packages } = loadedWith(["lib/index.ts", "lib/middleware/index.ts", ...strategies]);

  assert.deepEqual(
    peers.filter((name) => packages.has(name)),
    [],
  );
});

for (const { strategy, foreign } of [
  { strategy: "password", foreign: ["otplib"] },
  { strategy: "totp", foreign: ["@node-rs/argon2"] },
  { strategy: "backup-code", foreign: ["otplib"] },
]) {
  test(`the ${strategy} strategy loads no package of another factor`, () => {
    const { packages } = loadedWith([`strategies/${strategy}.ts`]);

    assert.deepEqual(
      foreign.filter((name) => packages.has(name)),
      [],
    );
  });
}

for (const name of [
  "@node-rs/argon2",
  "bcryptjs",
  "jose",
  "mongoose",
  "nodemailer",
  "otplib",
  "passport-custom",
]) {
  test(`${name} is imported by exactly one file of the library`, () => {
    const files = new Set(library.filter(({ target }) => target === name).map(({ file }) => file));

    assert.equal(files.size, 1, `${name} is imported by: ${[...files].join(", ") || "no file"}`);
  });
}

test("the library imports only packages that its manifest promises to a user", () => {
  const promised = new Set([...Object.keys(manifest.dependencies), ...peers]);

  const others = library.filter(({ target, isPackage }) => isPackage && !promised.has(target));

  assert.deepEqual(others.map(inWords), []);
});

test("an example app imports the library by its public names only", () => {
  const names = new Set(Object.keys(manifest.exports).map((name) => `polyfactor${name.slice(1)}`));

  const inside = apps.filter(({ file, target, specifier, isPackage }) =>
    isPackage
      ? target === "polyfactor" && !names.has(specifier)
      : target.split("/")[0] !== file.split("/")[0],
  );

  assert.notEqual(apps.length, 0);
  assert.deepEqual(inside.map(inWords), []);
});
