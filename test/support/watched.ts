import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { inspect } from "node:util";
import express from "express";
import { totpCode } from "./auth.ts";
import {
  challengeOf,
  openFamily,
  registerAndLogIn,
  registerEnrolled,
  type Answer,
  type FamilyOptions,
  type LoggedIn,
  type OpenedFamily,
} from "./auth-framework.ts";

/** A text that must come out nowhere. */
export const SENTINEL = "sentinel-4c1d9e7b";

/** Everything that is stored, without what failed attempts may count. */
async function dump({ connection }: OpenedFamily): Promise<string> {
  const accounts = await connection.collection("polyfactor_accounts").find().toArray();
  const names = await connection.collection("polyfactor_identifiers").find().toArray();
  const kept = accounts.map((account) => ({
    ...account,
    budgets: {},
    pending: Object.values((account.pending ?? {}) as Record<string, object>).map((pending) => ({
      ...pending,
      tries: 0,
    })),
  }));
  return inspect({ kept, names: names.length }, { depth: 12 });
}

/** A family in use, and what is watched of it. */
export interface Watched {
  readonly family: OpenedFamily;
  readonly session: LoggedIn;
  /** What was written to a log or to stderr so far. */
  readonly written: readonly string[];
  /** Everything that was stored when the watch began. */
  readonly stored: string;
}

/** Values of a request that would be good. */
export interface Good {
  readonly code: string;
  readonly challenge: string;
  readonly refresh: string;
}

function recordLogs(t: TestContext): readonly string[] {
  const written: string[] = [];
  const keep = (...parts: unknown[]): boolean => written.push(inspect(parts, { depth: 9 })) > 0;
  t.mock.method(process.stderr, "write", keep);
  for (const method of ["log", "info", "warn", "error"] as const) {
    t.mock.method(console, method, keep);
  }
  return written;
}

/** Somebody is logged in. */
export async function watch(t: TestContext, options: FamilyOptions = {}): Promise<Watched> {
  const written = recordLogs(t);
  const family = await openFamily(t, options);
  const session = await registerAndLogIn(family);
  return { family, session, written, stored: await dump(family) };
}

/** Somebody has an app, is logged in, and logs in again. */
export async function watchEnrolled(
  t: TestContext,
  options: FamilyOptions = {},
): Promise<Watched & { readonly good: Good }> {
  const written = recordLogs(t);
  const family = await openFamily(t, options);
  const { secret, ...session } = await registerEnrolled(family);
  const challenge = await challengeOf(family);
  const good = { code: totpCode(secret, family.clock), challenge, refresh: session.refresh };
  return { family, session, written, good, stored: await dump(family) };
}

/** What is wrong with an answer that should be the family's own refusal and show nothing of what was sent. */
export function faultIn(
  { status, json, text }: Answer,
  allowed: readonly number[],
): string | undefined {
  const body = json as { success?: unknown; error?: { code?: unknown } } | undefined;
  if (!allowed.includes(status)) return `${status} ${text.slice(0, 80)}`;
  if (body?.success !== false || typeof body.error?.code !== "string")
    return `no envelope: ${text}`;
  return text.includes(SENTINEL) ? "the value is in the answer" : undefined;
}

/** Nothing was stored, nothing was told, and the process is well. */
export async function unharmed({ family, session, written, stored }: Watched): Promise<void> {
  assert.equal(await dump(family), stored);
  const trail = JSON.stringify(await family.auditEvents());
  assert.ok(!trail.includes(SENTINEL), "the trail has no sentinel");
  assert.ok(!written.join("\n").includes(SENTINEL), "no log has a sentinel");
  assert.deepEqual(family.faults, []);
  assert.equal((await family.get("/mfa/status", { token: session.access })).status, 200);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
}

/** Where the family may be mounted. */
export const hosts: Readonly<Record<string, FamilyOptions>> = {
  alone: {},
  "behind parsers of the host's, with larger limits": {
    before(app) {
      app.set("query parser", "extended");
      app.use(express.json({ limit: "5mb", strict: false }));
      app.use(express.urlencoded({ extended: true }));
    },
  },
};
