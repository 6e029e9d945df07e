import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";

/** An answer as far as a document speaks of it. */
export interface WireAnswer {
  readonly method: string;
  /** Below the prefix the family is mounted at; without query. */
  readonly path: string;
  readonly status: number;
  readonly contentType: string;
  readonly body: unknown;
}

/** Holds answers against an OpenAPI document. */
export interface Contract {
  /** Fails where the document does not allow the answer. */
  check(answer: WireAnswer): void;
}

type Node = Readonly<Record<string, unknown>>;

const NAME = "contract";

/** Every answer must be one that the document shows for its path, method and status, else for `default`. */
export function contractOf(document: object): Contract {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema(document, NAME);
  const { paths } = document as { paths: Readonly<Record<string, Node>> };

  return {
    check({ method, path, status, contentType, body }) {
      const pointer = pointerFor(paths, { method: method.toLowerCase(), path, status });
      if (pointer === undefined || method === "HEAD") return;
      assert.match(contentType, /^application\/json/, `${method} ${path} answers JSON`);
      const validate = ajv.getSchema(`${NAME}#${pointer}`);
      assert.ok(validate, `the document has a schema at ${pointer}`);
      const fits = validate(body);
      assert.ok(
        fits,
        `${method} ${path} ${status}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(body)}`,
      );
    },
  };
}

/** Where the schema stands; a method that a path does not have is answered by any operation's `default`. */
function pointerFor(
  paths: Readonly<Record<string, Node>>,
  { method, path, status }: { method: string; path: string; status: number },
): string | undefined {
  const template = Object.keys(paths).find((known) => matches(known, path));
  if (template === undefined) return undefined;
  const operations = paths[template] ?? {};
  const [some = ""] = Object.keys(operations);
  const verb = method in operations ? method : some;
  const { responses } = operations[verb] as { responses: Node };
  const row = method in operations && String(status) in responses ? String(status) : "default";
  const steps = ["paths", template, verb, "responses", row, "content", "application/json"];
  return `/${[...steps, "schema"].map(escape).join("/")}`;
}

function matches(template: string, path: string): boolean {
  const pattern = template.replace(/[.]/g, "\\.").replace(/\{\w+\}/g, "[^/]+");
  return new RegExp(`^${pattern}$`).test(path);
}

/** A JSON pointer's step, in a URI fragment. */
function escape(step: string): string {
  return encodeURIComponent(step.replaceAll("~", "~0").replaceAll("/", "~1"));
}
