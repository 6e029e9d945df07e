import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createServer, connect } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { clientOf, enrol, logIn, register, type Client } from "../support/auth-framework.ts";
import { freePort, startChild, type Child } from "../support/child.ts";
import { openDatabase } from "../support/database.ts";
import { requestText } from "../support/listening.ts";

const SENTINEL = "sentinel-app-71c0";
const person = {
  username: "alice",
  email: "alice@example.org",
  password: `${SENTINEL} seven quiet lanterns`,
};

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "polyfactor-app-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The environment of an app on the tests' own server. */
async function environment(t: TestContext): Promise<NodeJS.ProcessEnv> {
  const { uri, connection } = await openDatabase(t);
  return {
    ...withoutSettings,
    MONGODB_URI: uri.replace("/?", `/${connection.name}?`),
    DATA_DIR: await temporaryFolder(t),
    PORT: String(await freePort()),
  };
}

const withoutSettings: NodeJS.ProcessEnv = Object.fromEntries(
  ["NODE_ENV", "HOST", "PUBLIC_URL", "SMTP_URL", "SMTP_FROM", "KEYS", "MONGODB_URI", "PORT"].map(
    (name) => [name, undefined],
  ),
);

interface Running {
  readonly child: Child;
  readonly origin: string;
  readonly port: number;
  readonly wire: Client & { readonly clock: Clock };
}

interface Clock {
  readonly clock: () => Date;
  readonly advance: () => void;
}

const realClock: Clock = { clock: () => new Date(), advance: () => undefined };

async function start(t: TestContext, env: NodeJS.ProcessEnv): Promise<Running> {
  const child = startChild(t, "example-app/server.ts", { env });
  await child.said(/polyfactor example: http:\/\/localhost:\d+\n/);
  const port = Number(env.PORT);
  const origin = `http://127.0.0.1:${port}`;
  return { child, origin, port, wire: { ...(await clientOf(origin)), clock: realClock } };
}

interface Shown {
  readonly id: string;
  readonly channel: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly kind: string;
  readonly token?: string;
  readonly link?: string;
  readonly sent_at: string;
}

async function outbox(origin: string, query = ""): Promise<readonly Shown[]> {
  for (;;) {
    const shown = (await (await fetch(`${origin}/outbox${query}`)).json()) as Shown[];
    // Mail goes out behind the answer.
    if (shown.length > 0 || query.includes("nobody")) return shown;
  }
}

test("the first start makes keys, warns of it and keeps them for their owner alone; the next one uses them", async (t) => {
  const env = await environment(t);
  const first = await start(t, env);
  const file = join(String(env.DATA_DIR), "keys");

  assert.match(first.child.output(), /KEYS is not set: a key was made/);
  const keys = await readFile(file, "utf8");
  assert.match(keys, /^k1:[\w-]{43}$/);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await register(first.wire, person);
  const { access } = await logIn(first.wire, person);
  first.child.signal("SIGTERM");
  assert.deepEqual(await first.child.ended, { code: 0, signal: null });

  const second = await start(t, {
    ...env,
    PORT: String(await freePort()),
    PUBLIC_URL: `http://localhost:${env.PORT}`,
  });
  assert.equal(await readFile(file, "utf8"), keys);
  assert.doesNotMatch(second.child.output(), /KEYS is not set/);
  assert.equal((await second.wire.get("/auth/validate", { token: access })).status, 200);
  for (const { child } of [first, second]) {
    assert.ok(!child.output().includes(keys.slice(3)) && !child.output().includes(SENTINEL));
  }
});

test("on an embedded database accounts and factors survive a restart, and nothing of it is left running", async (t) => {
  const env = {
    ...withoutSettings,
    DATA_DIR: await temporaryFolder(t),
    PORT: String(await freePort()),
  };
  const first = await start(t, env);
  await register(first.wire, person);
  await enrol(first.wire, await logIn(first.wire, person));
  first.child.signal("SIGTERM");
  assert.equal((await first.child.ended).code, 0);

  const second = await start(t, env);
  const { username, password } = person;
  const { error } = await second.wire.post("/auth/login", { username, password });

  assert.equal(error.code, "MFA_REQUIRED");
  second.child.signal("SIGINT");
  assert.equal((await second.child.ended).code, 0);
});

test("healthz answers, the home page names the document, other paths are 404, and no header tells of Express", async (t) => {
  const { origin } = await start(t, await environment(t));

  const health = await fetch(`${origin}/healthz`);
  const home = await fetch(origin);
  const none = await fetch(`${origin}/nothing/here`);

  assert.deepEqual([health.status, await health.json()], [200, { status: "ok" }]);
  assert.match(await home.text(), /\/api\/openapi\.json/);
  assert.equal(none.status, 404);
  for (const { headers } of [health, home, none]) assert.equal(headers.get("x-powered-by"), null);
});

test("the outbox shows what was sent, newest first, as JSON and as a page, to this machine alone", async (t) => {
  const { origin, port, wire } = await start(t, await environment(t));
  await register(wire, person);
  await outbox(origin);
  await register(wire, { ...person, username: "bob", email: "bob@example.org" });
  const bob = await outbox(origin, "?to=bob@example.org");
  const all = await outbox(origin);

  assert.deepEqual(
    all.map(({ to }) => to),
    ["bob@example.org", "alice@example.org"],
  );
  assert.equal(bob.length, 1);
  assert.deepEqual(await outbox(origin, "?to=nobody@example.org"), []);
  assert.deepEqual(Object.keys(bob[0] ?? {}).sort(), [
    ...["channel", "id", "kind", "link", "sent_at", "subject", "text", "to", "token"],
  ]);
  const page = await fetch(`${origin}/outbox`, { headers: { accept: "text/html" } });
  assert.match(String(page.headers.get("content-type")), /^text\/html/);
  assert.match(await page.text(), /alice@example\.org/);
  assert.equal(page.headers.get("cache-control"), "no-store");
  const { status } = await sendTo(port, "GET", "/outbox", ["Host: evil.example"]);
  assert.equal(status, 404);
});

async function sendTo(port: number, method: string, path: string, headers: string[]) {
  const socket = connect(port, "127.0.0.1");
  socket.write(
    `${method} ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\nConnection: close\r\n\r\n`,
  );
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return { status: Number(text.split(" ")[1]), text };
}

test("RT-08: the page of a mailed link is opened by GET and HEAD as often as one likes; its POST spends the token once", async (t) => {
  const { origin, wire } = await start(t, await environment(t));
  await register(wire, person);
  const [mail] = await outbox(origin);
  const link = new URL(mail?.link ?? "");
  const given = new URLSearchParams(link.hash.slice(1));
  const page = origin + link.pathname;

  for (const method of ["GET", "HEAD", "GET", "HEAD", "GET", "HEAD"]) {
    const { status, headers } = await fetch(page, { method });
    assert.equal(status, 200);
    assert.equal(headers.get("referrer-policy"), "no-referrer");
    assert.equal(headers.get("cache-control"), "no-store");
    assert.match(String(headers.get("content-security-policy")), /default-src 'none'/);
  }
  const spend = (token: string | null, tenant = given.get("tenant")) =>
    fetch(page, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, tenant }),
    });

  assert.equal((await spend(given.get("token"), "globex")).status, 400);
  assert.deepEqual(await (await spend(given.get("token"))).json(), { done: true });
  assert.equal((await spend(given.get("token"))).status, 400);
  assert.equal((await spend(null)).status, 400);
  const { access: token } = await logIn(wire, person);
  assert.equal((await wire.get("/users/profile", { token })).data.email_verified, true);
});

const production: NodeJS.ProcessEnv = {
  NODE_ENV: "production",
  KEYS: "k1:a secret of the app's, longer than thirty-two bytes",
  MONGODB_URI: "mongodb://127.0.0.1:1/",
  SMTP_URL: "smtp://127.0.0.1:1",
};

for (const name of ["KEYS", "MONGODB_URI", "SMTP_URL"]) {
  test(`in production the app does not start without ${name}, and says so`, async (t) => {
    const env = { ...withoutSettings, ...production, [name]: undefined, PORT: "0" };

    const child = startChild(t, "example-app/server.ts", { env });
    const { code } = await child.ended;

    assert.notEqual(code, 0);
    assert.match(child.output(), new RegExp(`${name}: needed in production`));
  });
}

test("where anybody can reach the app it does not start without SMTP_URL", async (t) => {
  const env = { ...(await environment(t)), HOST: "0.0.0.0" };

  const child = startChild(t, "example-app/server.ts", { env });

  assert.notEqual((await child.ended).code, 0);
  assert.match(child.output(), /SMTP_URL: needed/);
});

test("with SMTP_URL there is no outbox", async (t) => {
  const mail = createServer().listen(0, "127.0.0.1");
  await once(mail, "listening");
  t.after(() => mail.close());
  const { port } = mail.address() as { port: number };
  const env = { ...(await environment(t)), SMTP_URL: `smtp://127.0.0.1:${port}` };

  const { origin } = await start(t, env);

  assert.equal((await fetch(`${origin}/outbox`)).status, 404);
});

/** A request whose body is still on its way. */
async function halfSent(port: number, body: string) {
  const headers = ["Content-Type: application/json"];
  const text = requestText("POST", "/api/v1/auth/login", { headers, body });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await new Promise((resolve) => socket.write(text.slice(0, -10), resolve));
  let answer = "";
  socket.on("data", (chunk) => {
    answer += String(chunk);
  });
  const closed = once(socket, "close").then(() => answer);
  return { finish: () => socket.write(text.slice(-10)), closed };
}

test("FT-07: on SIGTERM a request under way is finished, new ones are not taken, and the process ends well", async (t) => {
  const { child, origin, port, wire } = await start(t, await environment(t));
  await register(wire, person);
  const { username, password } = person;
  const { finish, closed } = await halfSent(port, JSON.stringify({ username, password }));
  await fetch(`${origin}/healthz`, { headers: { connection: "close" } });

  child.signal("SIGTERM");
  await child.said(/SIGTERM: stopping/);
  await assert.rejects(fetch(`${origin}/healthz`, { headers: { connection: "close" } }));
  finish();

  assert.match(await closed, /^HTTP\/1\.1 200 OK[^]*"access_token"/);
  assert.deepEqual(await child.ended, { code: 0, signal: null });
});

test("FT-07: a second SIGTERM ends the process at once", async (t) => {
  const { child, port } = await start(t, await environment(t));
  await halfSent(port, JSON.stringify({ username: "alice", password: "x" }));

  child.signal("SIGTERM");
  await child.said(/SIGTERM: stopping/);
  child.signal("SIGTERM");

  assert.deepEqual(await child.ended, { code: 1, signal: null });
});

test("LG-02, EX-04: nothing that a client sends is logged: no password, token or query, well-formed or not", async (t) => {
  const { child, origin, port, wire } = await start(t, await environment(t));
  await register(wire, person);
  const { access, refresh } = await logIn(wire, person);
  await wire.post("/auth/login", `{"username":"alice","password":"${SENTINEL}`);
  await wire.post("/auth/login", { username: SENTINEL, password: { $ne: SENTINEL } });
  await fetch(`${origin}/verify-email?token=${SENTINEL}`);
  await fetch(`${origin}/verify-email`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{"token":"${SENTINEL}`,
  });
  await sendTo(port, "GET", `/api/v1/users/sessions/%E0%A4${SENTINEL}`, ["Host: x"]);
  await sendTo(port, "GET", `/${SENTINEL}%E0%A4%A`, ["Host: x"]);
  child.signal("SIGTERM");
  await child.ended;

  const log = child.output();
  assert.match(log, /"path":"\/api\/v1\/auth\/login","status":400/);
  for (const secret of [person.password, access, refresh, `token=${SENTINEL}`, `"${SENTINEL}`]) {
    assert.ok(!log.includes(secret), secret);
  }
});
