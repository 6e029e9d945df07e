import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const tests = join(import.meta.dirname, "..");
const document = join(tests, "..", "SECURITY.md");

/** A requirement of SECURITY.md. */
export interface Requirement {
  readonly id: string;
  readonly words: string;
  /** Test files and how many tests of each show it, as the table has them. */
  readonly shown: string;
}

const TABLE = /(?<=<!-- requirements -->\n)[^]*(?=<!-- \/requirements -->)/;

/** The requirements that SECURITY.md lists, in its order. */
export function listedRequirements(): readonly Requirement[] {
  const [table = ""] = TABLE.exec(readFileSync(document, "utf8")) ?? [];
  return [...table.matchAll(/^\| ([A-Z]{2}-\d{2}) +\|(.*)\|(.*)\|$/gm)].map(
    ([, id = "", words = "", shown = ""]) => ({ id, words: words.trim(), shown: shown.trim() }),
  );
}

/** Which tests show which requirement: those whose titles begin with its id. */
export function shownRequirements(): ReadonlyMap<string, string> {
  const counts = new Map<string, Map<string, number>>();
  for (const file of testFiles()) {
    const ids = titlesIn(file).flatMap(idsOf);
    for (const id of ids) {
      const files = counts.get(id) ?? new Map<string, number>();
      counts.set(id, files.set(file, (files.get(file) ?? 0) + 1));
    }
  }
  return new Map([...counts].map(([id, files]) => [id, inWords(files)]));
}

function inWords(files: ReadonlyMap<string, number>): string {
  return [...files]
    .map(
      ([file, count]) => `${file.replace(/(\.test)?\.ts$/, "")}${count > 1 ? ` (${count})` : ""}`,
    )
    .join(", ");
}

function testFiles(): readonly string[] {
  return readdirSync(tests, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".ts"))
    .sort();
}

/** The titles that a file gives its tests; of a title that is put together, its beginning. */
function titlesIn(file: string): readonly string[] {
  const text = readFileSync(join(tests, file), "utf8");
  const titles: string[] = [];
  const visit = (node: ts.Node): void => {
    const title = ts.isCallExpression(node) ? node.arguments[0] : undefined;
    if (title !== undefined && ts.isStringLiteralLike(title)) titles.push(title.text);
    if (title !== undefined && ts.isTemplateExpression(title)) titles.push(title.head.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
  return titles;
}

/** `TO-04, MC-05: one code …` shows two. */
function idsOf(title: string): readonly string[] {
  const [, ids] = /^([A-Z]{2}-\d{2}(?:, [A-Z]{2}-\d{2})*): /.exec(title) ?? [];
  return ids?.split(", ") ?? [];
}

/** The table with the tests as they are now; what is shown and not listed comes in, without words. */
function refreshed(): string {
  const listed = listedRequirements();
  const shown = shownRequirements();
  const missing = [...shown.keys()]
    .filter((id) => !listed.some((requirement) => requirement.id === id))
    .sort();
  const rows = [...listed, ...missing.map((id) => ({ id, words: "" }))].map(
    ({ id, words }) => [id, words, shown.get(id) ?? ""] as const,
  );
  const table = [["id", "requirement", "shown by"], ["---", "---", "---"], ...rows];
  return `\n${table.map((cells) => `| ${cells.join(" | ")} |\n`).join("")}\n`;
}

if (process.argv[2] === "--write") {
  const text = readFileSync(document, "utf8");
  writeFileSync(document, text.replace(TABLE, refreshed()));
}
