import assert from "node:assert/strict";
import { test } from "node:test";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { openFamily } from "../../support/auth-framework.ts";
import { contractOf } from "../../support/contract.ts";

interface Operation {
  readonly operationId: string;
  readonly security: readonly object[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: object }>> };
  readonly responses: Readonly<Record<string, unknown>>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, SchemaObject>> };
}

interface SchemaObject {
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, { readonly pattern?: string }>>;
}

async function fetchDocument(origin: string): Promise<{ text: string; document: Document }> {
  const text = await (await fetch(`${origin}/api/openapi.json`)).text();
  return { text, document: JSON.parse(text) as Document };
}

test("the OpenAPI document is valid by a validator that is not ours", async (t) => {
  const family = await openFamily(t);
  const { text, document } = await fetchDocument(family.origin);
  const config = await createConfig({
    extends: ["spec"],
    rules: { "security-defined": "error", "no-unresolved-refs": "error" },
  });

  const problems = await lintFromString({
    source: text,
    absoluteRef: `${family.origin}/api/openapi.json`,
    config,
  });

  assert.deepEqual(
    problems.map(({ message, location: [place] }) => `${place?.pointer ?? ""}: ${message}`),
    [],
  );
  assert.match(document.openapi, /^3\.1\./);
});

const documented: readonly (readonly [string, string, string, readonly string[]])[] = [
  ["/api/v1/mfa/setup", "post", "setupMFA", ["200", "401"]],
  ["/api/v1/mfa/verify", "post", "verifyMFA", ["200", "400", "401"]],
  ["/api/v1/mfa/disable", "post", "disableMFA", ["200", "400", "401"]],
  ["/api/v1/mfa/status", "get", "getMFAStatus", ["200", "401"]],
  ["/api/v1/mfa/regenerate-backup-codes", "post", "regenerateBackupCodes", ["200", "401"]],
  ["/api/v1/mfa/verify-backup-code", "post", "verifyBackupCode", ["200", "400", "401"]],
  ["/api/v1/auth/register", "post", "register", ["200", "400", "409"]],
  ["/api/v1/auth/login", "post", "login", ["200", "400", "401", "429"]],
  ["/api/v1/auth/refresh", "post", "refresh", ["200", "400", "401"]],
  ["/api/v1/auth/logout", "post", "logout", ["200", "401"]],
  ["/api/v1/auth/validate", "get", "validate", ["200", "401"]],
  ["/api/v1/auth/providers", "get", "providers", ["200"]],
  ["/api/v1/auth/verify-email/send", "post", "sendVerificationEmail", ["200", "401"]],
  ["/api/v1/auth/verify-email", "post", "verifyEmail", ["200", "400"]],
  ["/api/v1/auth/resend-verification", "post", "resendVerification", ["200"]],
  ["/api/v1/users/profile", "get", "getProfile", ["200", "401"]],
  ["/api/v1/users/profile", "put", "updateProfile", ["200", "400", "401"]],
  ["/api/v1/users/change-password", "post", "changePassword", ["200", "400", "401"]],
  ["/api/v1/users/sessions", "get", "listSessions", ["200", "401"]],
  ["/api/v1/users/sessions/{session_id}", "delete", "revokeSession", ["200", "401", "403", "404"]],
  ["/api/v1/users/me", "get", "userInfo", ["200", "401"]],
];

for (const [path, method, operationId, statuses] of documented) {
  test(`the document has ${operationId} at ${method.toUpperCase()} ${path} with its documented statuses`, async (t) => {
    const family = await openFamily(t);
    const { document } = await fetchDocument(family.origin);

    const operation = document.paths[path]?.[method];

    assert.equal(operation?.operationId, operationId);
    assert.deepEqual(
      statuses.filter((status) => !(status in operation.responses)),
      [],
    );
  });
}

test("the document has the family's schema names and its patterns", async (t) => {
  const family = await openFamily(t);
  const { document } = await fetchDocument(family.origin);
  const { schemas } = document.components;

  const required = (name: string) => [...(schemas[name]?.required ?? [])].sort();

  assert.deepEqual(required("MFASetupResponse"), ["backup_codes", "qr_code", "secret"]);
  assert.deepEqual(required("MFAStatusResponse"), ["backup_codes_remaining", "enabled", "methods"]);
  assert.deepEqual(required("MFAVerifyRequest"), ["totp_code"]);
  assert.deepEqual(required("DisableMFARequest"), ["password", "totp_code"]);
  assert.deepEqual(required("BackupCodeVerifyRequest"), ["backup_code"]);
  assert.ok(schemas.BackupCodeList);
  assert.deepEqual(required("ApiError"), ["code", "message"]);
  for (const name of ["MFAVerifyRequest", "DisableMFARequest"]) {
    assert.equal(schemas[name]?.properties?.totp_code?.pattern, "^[0-9]{6}$");
  }
});

test("operation ids are unique, and what is not public asks for a bearer", async (t) => {
  const family = await openFamily(t);
  const { document } = await fetchDocument(family.origin);
  const all = Object.values(document.paths).flatMap((operations) => Object.values(operations));

  const ids = all.map(({ operationId }) => operationId);
  const open = all.filter(({ security }) => security.length === 0);

  assert.equal(new Set(ids).size, ids.length);
  assert.deepEqual(open.map(({ operationId }) => operationId).sort(), [
    "login",
    "providers",
    "refresh",
    "register",
    "resendVerification",
    "verifyEmail",
  ]);
});

test("the check of answers against the document finds what the document does not allow", async (t) => {
  const family = await openFamily(t);
  const { document } = await fetchDocument(family.origin);
  const contract = contractOf(document);
  const answer = {
    ...{ method: "GET", path: "/api/v1/mfa/status", status: 200 },
    contentType: "application/json; charset=utf-8",
  };
  const data = { enabled: true, methods: ["totp"], backup_codes_remaining: 10 };
  const check = (body: unknown, more: object = {}) => {
    contract.check({ ...answer, body, ...more });
  };

  check({ success: true, data });
  check({ success: false, error: { code: "X", message: "x" } }, { status: 418 });
  for (const wrong of [
    { success: true },
    { success: false, data },
    { success: true, data: { ...data, enabled: "yes" } },
    { success: true, data: { ...data, backup_codes_remaining: -1 } },
    { success: true, data: { ...data, secret: "JBSWY3DPEHPK3PXP" } },
    { success: true, data, timestamp: "2035-01-01" },
  ]) {
    assert.throws(() => {
      check(wrong);
    });
  }
  assert.throws(() => {
    check({ success: true, data }, { status: 401 });
  });
  assert.throws(() => {
    check({ success: true, data }, { contentType: "text/html" });
  });
});
