import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import express from "express";
import { totpCode } from "../../support/auth.ts";
import {
  alice,
  challengeOf,
  clientOf,
  finishLogin,
  logIn,
  openFamily,
  registerAndLogIn,
  registerEnrolled,
  routerOf,
  type Client,
  type OpenedFamily,
} from "../../support/auth-framework.ts";
import { listen } from "../../support/listening.ts";
import { forge, signingKey } from "../../support/tokens.ts";

/** One core, two routers: the tenants `main` and `other`. */
async function openTwo(
  t: TestContext,
): Promise<{ main: OpenedFamily; other: Client & Pick<OpenedFamily, "clock"> }> {
  const main = await openFamily(t);
  const app = express();
  app.use(routerOf(main.auth, { tenant: "other" }));
  const { origin } = await listen(t, app);
  return { main, other: { ...(await clientOf(origin)), clock: main.clock } };
}

test("MT-01: the same name and address are two accounts in two tenants, and no token, challenge or mail crosses", async (t) => {
  const { main, other } = await openTwo(t);
  const session = await registerAndLogIn(main);
  const [mail] = await main.mails("verify_email");
  const foreign = await registerEnrolled(other);
  const challenge = await challengeOf(other);

  assert.notEqual(session.id, foreign.id);
  const crossed = [
    await other.get("/auth/validate", { token: session.access }),
    await main.get("/auth/validate", { token: foreign.access }),
    await other.post("/auth/refresh", { refresh_token: session.refresh }),
    await main.post("/auth/refresh", { refresh_token: foreign.refresh }),
    await other.post("/auth/logout", undefined, { token: session.access }),
    await other.post("/auth/verify-email", { token: mail?.token }),
    await finishLogin(main, { challenge, code: totpCode(foreign.secret, main.clock) }),
  ];

  assert.deepEqual(
    crossed.map(({ status }) => status),
    [401, 401, 401, 401, 401, 400, 401],
  );
  await logIn(main);
  assert.equal((await main.get("/auth/validate", { token: session.access })).status, 200);
});

test("MT-01: over budget in one tenant is not over budget in the other, for known and unknown names", async (t) => {
  const { main, other } = await openTwo(t);
  await registerAndLogIn(main);
  await registerAndLogIn(other);
  const attempt = async (client: Client, username: string) =>
    (await client.post("/auth/login", { username, password: "wrong" })).status;

  for (const name of ["alice", "nobody"]) {
    for (let failure = 0; failure < 5; failure += 1) await attempt(main, name);
    assert.deepEqual([await attempt(main, name), await attempt(other, name)], [429, 401], name);
  }
});

test("MT-02: the tenant comes from the mount alone: body, header, query and a claim change nothing", async (t) => {
  const { main, other } = await openTwo(t);
  const { access, id } = await registerAndLogIn(main);
  const { username, password } = alice;
  const headers = { "x-tenant": "main", "x-tenant-id": "main", host: "main.example.org" };
  const claimed = await forge(access, {
    claims: { tenant: "other" },
    key: signingKey(main.options.keys, "access-token"),
  });

  const byBody = await other.post(
    "/auth/login",
    { username, password, tenant: "main", tenant_id: "main" },
    { headers },
  );
  const byQuery = await other.post("/auth/login?tenant=main", { username, password });
  const byClaim = await other.get("/auth/validate", { token: claimed });

  assert.deepEqual([byBody.status, byQuery.status, byClaim.status], [401, 401, 401]);
  assert.equal((await main.account(id)).tenant, "main");
});

test("MT-03: what belongs to somebody else cannot be named: sessions of another account and another tenant", async (t) => {
  const { main, other } = await openTwo(t);
  const mine = await registerAndLogIn(main);
  const foreign = await registerAndLogIn(other);
  const { list } = await other.get("/users/sessions", { token: foreign.access });
  const [{ id }] = list as [{ id: string }];

  const { status } = await main.call("DELETE", `/users/sessions/${id}`, { token: mine.access });

  assert.equal(status, 404);
  assert.equal((await other.get("/auth/validate", { token: foreign.access })).status, 200);
});

test("MT-01: the seed of one account opens nothing under another: swapped ciphertexts fail closed", async (t) => {
  const family = await openFamily(t, { faulty: true });
  const first = await registerEnrolled(family);
  const second = await registerEnrolled(family, {
    ...alice,
    username: "bob",
    email: "bob@example.org",
  });
  const { totp = {} } = await family.account(second.id);
  const [[device, { seed }]] = Object.entries(totp) as unknown as [[string, { seed: string }]];
  const [own = ""] = Object.keys((await family.account(first.id)).totp ?? {});
  assert.notEqual(device, own);
  await family.tamper(first.id, { $set: { [`totp.${own}.seed`]: seed } });

  const { status } = await finishLogin(family, {
    challenge: await challengeOf(family),
    code: totpCode(second.secret, family.clock),
  });

  assert.ok([401, 503].includes(status), String(status));
});
