import { z } from "zod";
import type { Route } from "./route.ts";

/** What a family's document says about the family. */
export interface ApiInfo {
  readonly title: string;
  readonly version: string;
  /** Path the document is served at. */
  readonly servedAt: string;
  /** The schema of every refusal. */
  readonly refusal: z.ZodType;
  /** Put a route's answer in the family's envelope. */
  readonly envelope: (answer: z.ZodType) => z.ZodType;
  /** Names of schemas, as the family documents them. */
  readonly schemas: Readonly<Record<string, z.ZodType>>;
}

/** An OpenAPI 3.1 document. */
export type OpenApiDocument = Readonly<Record<string, unknown>>;

type JsonSchema = Readonly<Record<string, unknown>>;

/** The document of a table: paths, bodies, answers and refusals, from the schemas that validate them. */
export function openApiOf(routes: readonly Route[], info: ApiInfo): OpenApiDocument {
  const paths: Record<string, Record<string, unknown>> = {};
  const schemas: Record<string, JsonSchema> = {};
  const refer = (schema: z.ZodType, io: "input" | "output"): JsonSchema => {
    const [name] = Object.entries(info.schemas).find(([, known]) => known === schema) ?? [];
    if (name === undefined) return withParts(schema, io);
    schemas[name] ??= withParts(schema, io);
    return { $ref: `#/components/schemas/${name}` };
  };
  // A schema whose parts have names refers to them.
  const withParts = (schema: z.ZodType, io: "input" | "output"): JsonSchema => {
    const whole = jsonSchemaOf(schema, io) as JsonSchema & { properties?: object };
    const isNamed = (part: unknown): part is z.ZodType =>
      Object.values(info.schemas).some((known) => known === part);
    if (schema instanceof z.ZodArray && isNamed(schema.element)) {
      return { ...whole, items: refer(schema.element, io) };
    }
    if (!(schema instanceof z.ZodObject)) return whole;
    const parts = Object.entries(schema.shape).flatMap(([name, part]) =>
      isNamed(part) ? [[name, refer(part, io)] as const] : [],
    );
    return { ...whole, properties: { ...whole.properties, ...Object.fromEntries(parts) } };
  };

  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method] = {
      summary: route.summary,
      operationId: route.operationId,
      tags: [route.tag],
      security: route.access === "public" ? [] : [{ bearerAuth: [] }],
      ...parametersOf(route),
      ...bodyOf(route, refer),
      responses: responsesOf(route, info, refer),
    };
  }

  return {
    openapi: "3.1.0",
    info: { title: info.title, version: info.version, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: "/" }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      securitySchemes: { bearerAuth: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
      schemas,
    },
  };
}

type Refer = (schema: z.ZodType, io: "input" | "output") => JsonSchema;

function parametersOf({ path, params }: Route): object {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => name);
  if (names.length === 0 || params === undefined) return {};
  const { properties = {} } = jsonSchemaOf(params, "input") as {
    properties?: Record<string, unknown>;
  };
  return {
    parameters: names.map((name) => ({
      name,
      in: "path",
      required: true,
      schema: properties[name] ?? { type: "string" },
    })),
  };
}

function bodyOf({ body, bodyOptional = false }: Route, refer: Refer): object {
  if (body === undefined) return {};
  return { requestBody: { required: !bodyOptional, content: json(refer(body, "input")) } };
}

function responsesOf({ answer, refusals }: Route, info: ApiInfo, refer: Refer): object {
  const refusal = { description: "Refused", content: json(refer(info.refusal, "output")) };
  return {
    200: { description: "Done", content: json(refer(info.envelope(answer), "output")) },
    ...Object.fromEntries(refusals.map((status) => [status, refusal])),
    default: refusal,
  };
}

function json(schema: JsonSchema): object {
  return { "application/json": { schema } };
}

function jsonSchemaOf(schema: z.ZodType, io: "input" | "output"): JsonSchema {
  const written = z.toJSONSchema(schema, { io, target: "draft-2020-12" }) as JsonSchema;
  return Object.fromEntries(Object.entries(written).filter(([key]) => key !== "$schema"));
}
