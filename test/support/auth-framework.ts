import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import express, { type Express } from "express";
import type { Auth, AuthOptions } from "../../lib/index.ts";
import { authFramework, type AuthFrameworkOptions } from "../../routers/auth-framework/index.ts";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import { openAuth, totpCode, type OpenedAuth } from "./auth.ts";
import type { TestClock } from "./clock.ts";
import { contractOf, type Contract } from "./contract.ts";
import { listen, type Listening } from "./listening.ts";

/** Every field that a 200 of this family may carry in `data`. */
export interface Data {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  readonly user: { readonly id: string; readonly username: string };
  readonly login_risk_level: string;
  readonly security_warnings: readonly string[];
  readonly user_id: string;
  readonly id: string;
  readonly username: string;
  readonly email: string;
  readonly first_name?: string;
  readonly last_name?: string;
  readonly email_verified: boolean;
  readonly mfa_enabled: boolean;
  readonly sent: boolean;
  readonly verification_token: string;
  readonly message: string;
  readonly qr_code: string;
  readonly secret: string;
  readonly backup_codes: readonly string[];
  readonly enabled: boolean;
  readonly methods: readonly string[];
  readonly backup_codes_remaining: number;
}

/** A session in the family's list. */
export interface SessionRow {
  readonly id: string;
  readonly device: string;
  readonly location: string;
  readonly ip_address: string;
  readonly created_at: string;
  readonly last_active: string;
  readonly is_current: boolean;
}

/** A refusal of this family. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An answer that the document allows. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
  readonly data: Data;
  /** `data` where it is a list. */
  readonly list: readonly unknown[];
  readonly message: string | undefined;
  readonly error: WireError;
}

/** What a call may send along. */
export interface Sent {
  /** Sent as JSON; text and bytes as they are. */
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Calls one mounted family and holds every answer against its document. */
export interface Client {
  call(method: string, path: string, sent?: Sent): Promise<Answer>;
  get(path: string, sent?: Sent): Promise<Answer>;
  post(path: string, body?: unknown, sent?: Sent): Promise<Answer>;
}

/** A client of the family at `base`, e.g. `http://127.0.0.1:3000/prefix`. */
export async function clientOf(base: string): Promise<Client> {
  const document = (await (await fetch(`${base}/api/openapi.json`)).json()) as object;
  return checkedClient(base, contractOf(document));
}

function checkedClient(base: string, contract: Contract): Client {
  const call = async (method: string, path: string, sent: Sent = {}): Promise<Answer> => {
    const response = await fetch(`${base}/api/v1${path}`, { method, ...requestOf(sent) });
    const text = await response.text();
    const contentType = response.headers.get("content-type") ?? "";
    const json: unknown =
      contentType.startsWith("application/json") && text ? JSON.parse(text) : undefined;
    const { status, headers } = response;
    contract.check({
      ...{ method, status, contentType },
      path: `/api/v1${path}`.replace(/\?.*/, ""),
      body: json,
    });
    const envelope = (json ?? {}) as Partial<Answer>;
    return {
      ...{ status, headers, text, json },
      data: envelope.data ?? ({} as Data),
      list: (envelope.data ?? []) as unknown as readonly unknown[],
      message: envelope.message,
      error: envelope.error ?? { code: "", message: "" },
    };
  };
  return {
    call,
    get: (path, sent) => call("GET", path, sent),
    post: (path, body, sent) => call("POST", path, { ...sent, body }),
  };
}

function requestOf({ body, token, headers = {}, signal }: Sent): RequestInit {
  const raw = typeof body === "string" || body instanceof Uint8Array;
  return {
    headers: {
      "user-agent": "Alice's browser",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body === undefined
      ? {}
      : { body: raw ? (body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  };
}

/** How a family is mounted for a test. */
export interface FamilyOptions {
  readonly auth?: Partial<AuthOptions>;
  readonly router?: Partial<AuthFrameworkOptions>;
  /** What the host does before the family. */
  readonly before?: (app: Express, auth: Auth) => void;
  /** What the host has after it. */
  readonly behind?: (app: Express, auth: Auth) => void;
  /** The strategies listed. @default all three */
  readonly only?: readonly StrategyName[];
  /** Whether faults of ours are part of the test. @default false: they fail it */
  readonly faulty?: boolean;
}

/** A family on a server of its own. */
export interface OpenedFamily extends OpenedAuth, Client, Listening {
  /** What `onFault` was told. */
  readonly faults: readonly unknown[];
}

const STRATEGIES = {
  password: PasswordStrategy,
  totp: TotpStrategy,
  "backup-code": BackupCodeStrategy,
} as const;

/** A strategy, by the name Passport knows it by. */
export type StrategyName = keyof typeof STRATEGIES;

/** The family's router on a core. */
export function routerOf(
  auth: Auth,
  { tenant = "main", ...options }: Partial<AuthFrameworkOptions> = {},
  only: readonly StrategyName[] = ["password", "totp", "backup-code"],
): ReturnType<typeof authFramework> {
  const strategies = only.map((name) => new STRATEGIES[name](auth, { tenant }));
  return authFramework({ auth, tenant, strategies, ...options });
}

/** Mounts the family on an empty database and listens. */
export async function openFamily(
  t: TestContext,
  { auth: overrides, router, before, behind, only, faulty = false }: FamilyOptions = {},
): Promise<OpenedFamily> {
  const opened = await openAuth(t, overrides);
  const faults: unknown[] = [];
  const app = express();
  before?.(app, opened.auth);
  app.use(routerOf(opened.auth, { onFault: (fault) => faults.push(fault), ...router }, only));
  behind?.(app, opened.auth);
  const listening = await listen(t, app);
  t.after(() => {
    if (!faulty) assert.deepEqual(faults, []);
  });
  return { ...opened, ...listening, ...(await clientOf(listening.origin)), faults };
}

/** Who the tests speak of. */
export const alice = {
  username: "alice",
  email: "alice@example.org",
  password: "seven quiet lanterns by the harbour",
};

/** Another person with another password. */
export const bob = {
  username: "bob",
  email: "bob@example.org",
  password: "nine loud trumpets on the mountain",
};

/** Somebody who is logged in. */
export interface LoggedIn {
  readonly id: string;
  readonly access: string;
  readonly refresh: string;
}

/** Registers a person; answers the account's id. */
export async function register(client: Client, person = alice): Promise<string> {
  const { status, data, text } = await client.post("/auth/register", person);
  assert.equal(status, 200, text);
  return data.user_id;
}

/** Logs a person in who has no second factor. */
export async function logIn(
  client: Client,
  { username, password }: { username: string; password: string } = alice,
  more: object = {},
): Promise<LoggedIn> {
  const { status, data, text } = await client.post("/auth/login", { username, password, ...more });
  assert.equal(status, 200, text);
  return { id: data.user.id, access: data.access_token, refresh: data.refresh_token };
}

/** Registers a person and logs her in. */
export async function registerAndLogIn(client: Client, person = alice): Promise<LoggedIn> {
  await register(client, person);
  return logIn(client, person);
}

/** The challenge that the right password of somebody with a second factor leads to. */
export async function challengeOf(
  client: Client,
  { username, password }: { username: string; password: string } = alice,
): Promise<string> {
  const { status, error, text } = await client.post("/auth/login", { username, password });
  assert.equal(status, 401, text);
  assert.equal(error.code, "MFA_REQUIRED");
  return String(error.details?.challenge_id);
}

/** Somebody with an authenticator app, logged in since before it was confirmed. */
export interface Enrolled extends LoggedIn {
  readonly secret: string;
  readonly backupCodes: readonly string[];
}

/** Sets an app up and confirms it; afterwards a step passes, so that no code is spent. */
export async function enrol(
  client: Client & { readonly clock: TestClock },
  session: LoggedIn,
): Promise<Enrolled> {
  const { access: token } = session;
  const { data, status, text } = await client.post("/mfa/setup", undefined, { token });
  assert.equal(status, 200, text);
  const code = totpCode(data.secret, client.clock);
  const confirmed = await client.post("/mfa/verify", { totp_code: code }, { token });
  assert.equal(confirmed.status, 200, confirmed.text);
  client.clock.advance(30_000);
  return { ...session, secret: data.secret, backupCodes: data.backup_codes };
}

/** Registers a person with an authenticator app. */
export async function registerEnrolled(
  client: Client & { readonly clock: TestClock },
  person = alice,
): Promise<Enrolled> {
  return enrol(client, await registerAndLogIn(client, person));
}

/** The second step of a login. */
export function finishLogin(
  client: Client,
  { challenge, code, person = alice }: { challenge: string; code: string; person?: typeof alice },
): Promise<Answer> {
  const { username, password } = person;
  const second = { challenge_id: challenge, mfa_code: code };
  return client.post("/auth/login", { username, password, ...second });
}

/** Logs an enrolled person in with her app; the step is spent by that, so another passes. */
export async function logInWithApp(
  client: Client & { readonly clock: TestClock },
  { secret, person = alice }: { secret: string; person?: typeof alice },
): Promise<LoggedIn> {
  const challenge = await challengeOf(client, person);
  const code = totpCode(secret, client.clock);
  const { status, data, text } = await finishLogin(client, { challenge, code, person });
  assert.equal(status, 200, text);
  client.clock.advance(30_000);
  return { id: data.user.id, access: data.access_token, refresh: data.refresh_token };
}

/** The token of the newest mail to an address. */
export async function mailedToken(
  { mails }: Pick<OpenedAuth, "mails">,
  to: string,
): Promise<string> {
  const sent = await mails();
  const token = sent.filter((message) => message.to === to && message.token !== undefined).at(-1);
  assert.ok(token?.token, `a mail with a token went to ${to}`);
  return token.token;
}

/** Status and code of an answer, for tables. */
export function outcome({ status, error, message }: Answer): string {
  return status === 200 ? `200 ${message ?? ""}`.trim() : `${status} ${error.code}`;
}
