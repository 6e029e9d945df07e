import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandStartedEvent } from "mongodb";
import { alice, logIn, openFamily } from "../../support/auth-framework.ts";
import {
  faultIn,
  hosts,
  SENTINEL,
  unharmed,
  watchEnrolled,
  type Good,
} from "../../support/watched.ts";

interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
}

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly schema: Schema;
  readonly optional: boolean;
}

/** Every operation that takes a body, with the schema that the document gives for it. */
async function operationsWithBody(origin: string): Promise<readonly Operation[]> {
  const document = (await (await fetch(`${origin}/api/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { requestBody?: RequestBody }>>;
    components: { schemas: Record<string, Schema> };
  };
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { requestBody }]) => {
      if (requestBody === undefined) return [];
      const { schema } = requestBody.content["application/json"];
      const name = schema.$ref?.split("/").at(-1) ?? "";
      const found = schema.$ref === undefined ? schema : (document.components.schemas[name] ?? {});
      return [
        { method: method.toUpperCase(), path, schema: found, optional: !requestBody.required },
      ];
    }),
  );
}

interface RequestBody {
  readonly required: boolean;
  readonly content: {
    readonly "application/json": { readonly schema: Schema & { $ref?: string } };
  };
}

const megabyte = `${SENTINEL}${"x".repeat(1_000_000)}`;

/** Values of every kind, by the JSON type that would allow them. */
const values: readonly (readonly [string, unknown])[] = [
  ["object", {}],
  ["object", { [SENTINEL]: SENTINEL }],
  ["object", { $ne: null }],
  ["object", { $gt: "" }],
  ["object", { $regex: ".*" }],
  ["object", { $in: ["alice"] }],
  ["object", { $where: "1" }],
  ["object", { a: { b: { c: [{}] } } }],
  ["array", []],
  ["array", ["a", "b"]],
  ["array", [{ $ne: null }]],
  ["number", 123456],
  ["number", -1.5],
  ["boolean", true],
  ["boolean", false],
  ["null", null],
  ["string", SENTINEL.repeat(5)],
];

function typesOf({ type, anyOf = [] }: Schema): readonly string[] {
  return type === undefined ? anyOf.flatMap(typesOf) : [type];
}

/** A field, and a value that its schema does not allow; `undefined` stands for a missing field. */
function badFields({
  properties = {},
  required = [],
}: Schema): readonly (readonly [string, unknown])[] {
  return Object.entries(properties).flatMap(([field, schema]) => {
    const allowed = typesOf(schema);
    const wrong = values.filter(([type]) => !allowed.includes(type)).map(([, value]) => value);
    const missing = required.includes(field) ? [undefined] : [];
    return [...wrong, ...missing].map((value) => [field, value] as const);
  });
}

function shownAs(value: unknown): string {
  return value === undefined ? "missing" : JSON.stringify(value);
}

/** A body of this operation that would be good. */
function goodBody(
  { schema: { properties = {} } }: Operation,
  { code, challenge, refresh }: Good,
): Record<string, unknown> {
  const known: Record<string, unknown> = {
    ...{ ...alice, current_password: alice.password, new_password: `${alice.password}!` },
    ...{ totp_code: code, backup_code: "ABCDEFGH", token: "x", refresh_token: refresh },
    ...{ challenge_id: challenge, mfa_code: code, remember_me: true },
    ...{ first_name: "Alice", last_name: "Liddell" },
  };
  return Object.fromEntries(Object.keys(properties).map((field) => [field, known[field]]));
}

for (const [how, host] of Object.entries(hosts)) {
  test(`IV-01, EX-02: ${how}: every field of every route refuses every value that its schema does not allow`, async (t) => {
    const watched = await watchEnrolled(t, host);
    const { family, session, good } = watched;
    const operations = await operationsWithBody(family.origin);
    const harm: string[] = [];
    let sent = 0;

    for (const operation of operations) {
      const body = goodBody(operation, good);
      for (const [field, value] of badFields(operation.schema)) {
        const path = operation.path.replace("/api/v1", "");
        const answer = await family.call(operation.method, path, {
          token: session.access,
          body: { ...body, [field]: value },
        });
        sent += 1;
        const wrong = faultIn(answer, [400]);
        const shown = `${operation.method} ${path} ${field}=${shownAs(value)}`;
        if (wrong !== undefined) harm.push(`${shown}: ${wrong}`);
      }
    }

    assert.ok(operations.length >= 13, `${operations.length} operations with a body`);
    assert.ok(sent > 350, `${sent} requests`);
    assert.deepEqual(harm, []);
    await unharmed(watched);
  });

  test(`IV-01, EX-01: ${how}: a field of 1 MB is refused on every route, and so is a body that is no object`, async (t) => {
    const watched = await watchEnrolled(t, host);
    const { family, session, good } = watched;
    const operations = await operationsWithBody(family.origin);
    const harm: string[] = [];

    for (const operation of operations) {
      const path = operation.path.replace("/api/v1", "");
      const body = goodBody(operation, good);
      const large = Object.keys(operation.schema.properties ?? {}).filter(
        (field) => field !== "remember_me",
      );
      const bodies: unknown[] = [
        ...large.map((field) => ({ ...body, [field]: megabyte })),
        ...[[], [body], "null", '"text"', "1", "true", "false"],
      ];
      for (const one of bodies) {
        const answer = await family.call(operation.method, path, {
          token: session.access,
          body: one,
        });
        const wrong = faultIn(answer, [400, 413]);
        if (wrong !== undefined) harm.push(`${path} ${JSON.stringify(one).slice(0, 40)}: ${wrong}`);
      }
    }

    assert.deepEqual(harm, []);
    await unharmed(watched);
  });

  test(`IV-02: ${how}: no operator from a request reaches a command`, async (t) => {
    const { family, session } = await watchEnrolled(t, host);
    const operators = [
      { $ne: null },
      { $gt: "" },
      { $in: ["alice"] },
      { $regex: SENTINEL },
      ["alice"],
    ];
    const text = ["$ne", "$where", "budgets.password", "a.b", "__proto__", SENTINEL, "\u0000x"];

    const commands = await family.commands.during(async () => {
      for (const odd of [...operators, ...text]) {
        const body = { username: odd, email: odd, password: odd, token: odd, refresh_token: odd };
        const codes = { totp_code: odd, backup_code: odd, challenge_id: odd, mfa_code: "123456" };
        const token = session.access;
        for (const path of [
          "/auth/login",
          "/auth/register",
          "/auth/refresh",
          "/auth/verify-email",
        ]) {
          await family.post(path, { ...body, ...codes });
        }
        await family.post("/mfa/verify-backup-code", codes, { token });
        await family.call("PUT", "/users/profile", { body: { first_name: odd }, token });
        const id = encodeURIComponent(typeof odd === "string" ? odd : JSON.stringify(odd));
        await family.call("DELETE", `/users/sessions/${id}`, { token });
      }
    });

    const found = commands.flatMap(({ command }: CommandStartedEvent) => stray(command));
    assert.ok(commands.length > 20);
    assert.deepEqual(found, []);
  });
}

const ours = new Set([
  ...["$ne", "$not", "$gte", "$gt", "$lt", "$lte", "$exists", "$or", "$and", "$eq"],
  ...[
    "$set",
    "$inc",
    "$unset",
    "$setOnInsert",
    "$db",
    "$clusterTime",
    "$readPreference",
    "$min",
    "$max",
  ],
]);

/** Operators that we do not use, and sets of values as a condition. */
function stray(value: unknown): readonly string[] {
  if (typeof value !== "object" || value === null || "_bsontype" in value) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(key.startsWith("$") && !ours.has(key) ? [key] : []),
    ...stray(inner),
  ]);
}

test("IV-04: a registration and a profile set nothing but their own fields", async (t) => {
  const family = await openFamily(t);
  const more = {
    ...{ roles: ["admin"], permissions: ["*"], tenant: "other", _id: "me", id: "me" },
    ...{ mfa_enabled: true, email_verified: true, verifiedAt: 1, state: "disabled" },
    ...{ "email.verifiedAt": 1, $set: { state: "disabled" }, totp: {}, budgets: {}, epoch: 99 },
  };
  const { data } = await family.post("/auth/register", { ...alice, ...more });
  const { access: token } = await logIn(family);
  const body = { first_name: "Alice", ...more };
  await family.call("PUT", "/users/profile", { body, token });

  const account = await family.account(data.user_id);
  const profile = await family.get("/users/profile", { token });

  assert.deepEqual(
    [account.tenant, account.state, account.email?.verifiedAt, account.totp, account.epoch],
    ["main", "active", undefined, undefined, undefined],
  );
  assert.deepEqual(account.profile, { firstName: "Alice" });
  assert.ok(!("roles" in account) && !("$set" in account));
  assert.deepEqual([profile.data.email_verified, profile.data.mfa_enabled], [false, false]);
});

const routes = ["/auth/login", "/auth/register", "/mfa/verify", "/mfa/disable", "/auth/refresh"];

const pollution: readonly string[] = [
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"username":"alice","password":"x","__proto__":{"challenge_id":"mfa_x","mfa_code":"123456"}}',
  '{"__proto__":{"username":"alice","password":"x"}}',
  '{"__proto__":null,"prototype":{},"toString":1,"hasOwnProperty":1}',
];

test("IV-03: a body with __proto__ or constructor pollutes nothing and stands in for no field", async (t) => {
  const watched = await watchEnrolled(t);
  const { family, session } = watched;

  for (const body of pollution) {
    for (const path of routes) {
      const { status } = await family.post(path, body, { token: session.access });
      // Only what stands in the body itself is there.
      const complete = path === "/auth/login" && body.startsWith('{"username"');
      assert.equal(status, complete ? 401 : 400, `${path} ${body}`);
      assert.equal(({} as Record<string, unknown>).polluted, undefined);
    }
  }

  await unharmed(watched);
});

test("IV-09: of one key twice the last counts, and the query stands in for no field", async (t) => {
  const { family, session } = await watchEnrolled(t);
  const { password } = alice;
  const logInWith = (body: unknown, query = "") => family.post(`/auth/login${query}`, body);

  const last = await logInWith(
    `{"username":"nobody","username":"alice","password":${JSON.stringify(password)}}`,
  );
  const first = await logInWith(
    `{"username":"alice","username":"nobody","password":${JSON.stringify(password)}}`,
  );
  const query = await logInWith({ password }, "?username=alice");
  const twice = await family.call("GET", "/mfa/status?a=1&a=2&$ne=1", { token: session.access });

  assert.deepEqual(
    [last.error.code, first.error.code, query.error.code, twice.status],
    ["MFA_REQUIRED", "INVALID_CREDENTIALS", "VALIDATION_ERROR", 200],
  );
});
