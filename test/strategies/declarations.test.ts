import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import ts from "typescript";

const root = join(import.meta.dirname, "..", "..");
const compiler = join(root, "node_modules", "typescript", "bin", "tsc");

/** Where a declaration says `any`, or changes a type of somebody else's. */
function findingsIn(name: string, text: string): string[] {
  const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  const findings: string[] = [];
  const visit = (node: ts.Node): void => {
    const isAny = node.kind === ts.SyntaxKind.AnyKeyword;
    if (isAny || ts.isModuleDeclaration(node)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      findings.push(`${name}:${line + 1} ${isAny ? "any" : "an augmentation"}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}

test("what is declared has no `any` and augments nothing, Express.User least of all", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "polyfactor-declarations-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const options = ["--outDir", folder, "--emitDeclarationOnly", "--noCheck"];
  await promisify(execFile)(process.execPath, [
    ...[compiler, "-p", join(root, "tsconfig.build.json")],
    ...options,
  ]);

  const names = await readdir(folder, { recursive: true });
  const declarations = names.filter((name) => name.endsWith(".d.ts"));
  const findings = await Promise.all(
    declarations.map(async (name) => findingsIn(name, await readFile(join(folder, name), "utf8"))),
  );

  assert.ok(declarations.includes(join("strategies", "totp.d.ts")));
  assert.deepEqual(findings.flat(), []);
});
