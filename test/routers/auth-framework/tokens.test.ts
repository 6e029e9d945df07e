import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import express from "express";
import { decodeJwt, decodeProtectedHeader, exportJWK, SignJWT } from "jose";
import { createAuth } from "../../../lib/index.ts";
import { mongooseStore } from "../../../lib/store/mongoose.ts";
import { testKeys } from "../../support/auth.ts";
import {
  alice,
  bob,
  clientOf,
  logIn,
  openFamily,
  register,
  registerAndLogIn,
  routerOf,
  type Client,
  type OpenedFamily,
} from "../../support/auth-framework.ts";
import { listen, requestText, sendRaw } from "../../support/listening.ts";
import { assemble, forge, signingKey } from "../../support/tokens.ts";

const accessKey = signingKey(testKeys, "access-token");
const refreshKey = signingKey(testKeys, "refresh-token");

async function statusOf(client: Client, token: string): Promise<number> {
  return (await client.get("/auth/validate", { token })).status;
}

/** Every one of these must be 401 INVALID_TOKEN, for reading and for renewing. */
async function refuses(
  family: OpenedFamily,
  tokens: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [what, token] of Object.entries(tokens)) {
    const read = await family.get("/auth/validate", { token });
    assert.deepEqual([read.status, read.error.code], [401, "INVALID_TOKEN"], what);
    // A good token of nobody's is as good as one that is logged out already.
    if (/^su|^sid/.test(what)) continue;
    const out = await family.post("/auth/logout", undefined, { token });
    assert.equal(out.status, 401, `logout with ${what}`);
  }
}

test("JW-01: no other algorithm is taken: none in any case, HS512, RS256, and a public key as a secret", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const claims = decodeJwt(access);
  const header = { typ: "at+jwt", kid: "k1" };
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const der = publicKey.export({ type: "spki", format: "der" });
  const [, , signature = ""] = access.split(".");
  const by = (alg: string, key: Uint8Array | typeof privateKey) =>
    new SignJWT(claims).setProtectedHeader({ ...header, alg }).sign(key);

  await refuses(family, {
    none: assemble({ ...header, alg: "none" }, claims),
    nOnE: assemble({ ...header, alg: "nOnE" }, claims, signature),
    "none with a signature": assemble({ ...header, alg: "none" }, claims, signature),
    hs256: assemble({ ...header, alg: "hs256" }, claims, signature),
    HS512: await by("HS512", accessKey),
    HS384: await by("HS384", accessKey),
    RS256: await by("RS256", privateKey),
    "HS256 by a PEM": await by("HS256", Buffer.from(pem)),
    "HS256 by a DER": await by("HS256", der),
    "HS256 by a JWK": await by("HS256", Buffer.from(JSON.stringify(await exportJWK(publicKey)))),
    "HS256 by 32 zeros": await by("HS256", new Uint8Array(32)),
    "HS256 by the raw secret": await by("HS256", Buffer.from(String(testKeys[0]?.secret))),
  });
});

test("JW-02: keys come from configuration alone: jwk, jku, x5u, crit and a strange kid are refused", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const own = Buffer.from("a secret of the attacker's, thirty-two bytes");
  const jwk = { kty: "oct", k: own.toString("base64url"), alg: "HS256" };
  const called: string[] = [];
  const lure = await listen(t, (req, res) => {
    called.push(req.url ?? "");
    res.end(JSON.stringify({ keys: [jwk] }));
  });
  const urls = { jku: `${lure.origin}/jwks`, x5u: `${lure.origin}/x5u` };
  const signed = (header: object) => forge(access, { header: header as never, key: own });
  const raw = (header: object) => {
    const [head = "", body = ""] = assemble(
      { alg: "HS256", typ: "at+jwt", ...header },
      decodeJwt(access),
    ).split(".");
    const signature = createHmac("sha256", accessKey).update(`${head}.${body}`).digest("base64url");
    return `${head}.${body}.${signature}`;
  };

  await refuses(family, {
    jwk: await signed({ jwk }),
    jku: await signed({ jku: urls.jku }),
    x5u: await signed({ x5u: urls.x5u }),
    x5c: await signed({ x5c: ["MIIB"] }),
    crit: raw({ kid: "k1", crit: ["exp"], exp: 1 }),
    "no kid": raw({}),
    "kid of a path": raw({ kid: "../../dev/null" }),
    "kid of SQL": raw({ kid: "' or 1=1" }),
    "kid __proto__": raw({ kid: "__proto__" }),
    "kid constructor": raw({ kid: "constructor" }),
    "kid of 10 kB": raw({ kid: "k".repeat(10_000) }),
    "kid an object": raw({ kid: { $ne: null } }),
    "kid an array": raw({ kid: ["k1"] }),
    "kid in capitals": raw({ kid: "K1" }),
  });
  assert.deepEqual(called, []);
});

const required = ["iss", "aud", "sub", "exp", "iat", "jti", "sid", "tenant"];

test("JW-04: a token without one of its claims, or with one of another type or value, is refused", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const { exp = 0, iat = 0, sub = "", sid } = decodeJwt(access);
  assert.deepEqual(
    required.filter((name) => !(name in decodeJwt(access))),
    [],
  );
  const made = (claims: object) => forge(access, { claims: claims as never, key: accessKey });
  const tokens: Record<string, string> = {
    "another issuer": await made({ iss: "https://evil.example" }),
    "an array of issuers": await made({ iss: ["https://login.example.org"] }),
    "another audience": await made({ aud: "other" }),
    "an empty audience": await made({ aud: [] }),
    "exp as text": await made({ exp: String(exp) }),
    "exp as a fraction": await made({ exp: exp + 0.5 }),
    "exp null": await made({ exp: null }),
    "iat as text": await made({ iat: String(iat) }),
    "iat in the future": await made({ iat: iat + 61 }),
    "nbf as text": await made({ nbf: "0" }),
    "sub an array": await made({ sub: [sub] }),
    "sub an operator": await made({ sub: { $ne: null } }),
    "sub nobody": await made({ sub: "nobody" }),
    "sub empty": await made({ sub: "" }),
    "sid an operator": await made({ sid: { $ne: null } }),
    "sid unknown": await made({ sid: "abcdefghijkl" }),
    "sid __proto__": await made({ sid: "__proto__" }),
    "sid with a dot": await made({ sid: `${String(sid)}.proofs` }),
    "another tenant": await made({ tenant: "other" }),
    "tenant an array": await made({ tenant: ["main"] }),
    "typ JWT": await forge(access, { header: { typ: "JWT" }, key: accessKey }),
    "no typ": await forge(access, { header: { typ: undefined }, key: accessKey }),
  };
  for (const name of required) {
    tokens[`no ${name}`] = await forge(access, { without: [name], key: accessKey });
  }

  assert.equal(await statusOf(family, await made({})), 200);
  assert.equal(await statusOf(family, await made({ nbf: iat + 61 })), 401);
  await refuses(family, tokens);
});

test("JW-05: an access token is no refresh token, a refresh token no access token, and typ or aud alone make neither", async (t) => {
  const family = await openFamily(t);
  const { access, refresh } = await registerAndLogIn(family);
  const renew = async (refresh_token: string) =>
    (await family.post("/auth/refresh", { refresh_token })).status;
  const [own, other] = [decodeProtectedHeader(access), decodeProtectedHeader(refresh)];
  assert.notEqual(own.typ, other.typ);
  assert.notDeepEqual(decodeJwt(access).aud, decodeJwt(refresh).aud);

  assert.equal(await statusOf(family, refresh), 401);
  assert.equal(await renew(access), 401);
  assert.equal((await family.post("/auth/logout", undefined, { token: refresh })).status, 401);
  const asAccess = { header: { typ: "at+jwt" }, claims: { aud: "api" } };
  const asRefresh = { header: { typ: "rt+jwt" }, claims: { aud: "refresh", gen: 0 } };
  for (const token of [
    await forge(refresh, { ...asAccess, key: refreshKey }),
    await forge(refresh, { header: asAccess.header, key: accessKey }),
    await forge(refresh, { header: { typ: "rt+jwt" }, claims: asAccess.claims, key: accessKey }),
  ]) {
    assert.equal(await statusOf(family, token), 401);
  }
  for (const token of [
    await forge(access, { ...asRefresh, key: accessKey }),
    await forge(access, { header: asRefresh.header, key: refreshKey }),
    await forge(access, { claims: asRefresh.claims, key: refreshKey }),
  ]) {
    assert.equal(await renew(token), 401);
  }
});

test("JW-06: an access token lives 3600 seconds to the second, a refresh token seven days", async (t) => {
  const family = await openFamily(t);
  const { access, refresh } = await registerAndLogIn(family);
  const renew = async () => (await family.post("/auth/refresh", { refresh_token: refresh })).status;

  family.clock.advance(3_599_999);
  assert.equal(await statusOf(family, access), 200);
  family.clock.advance(1);
  assert.equal(await statusOf(family, access), 401);
  family.clock.advance(7 * 86_400_000 - 3_600_000 - 1000);
  assert.equal(await renew(), 200);
  family.clock.advance(1000);
  assert.equal(await renew(), 401);
});

test("FT-06, JW-06: a clock that is set back by a minute ends no token, and revives none", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);

  family.clock.advance(-60_000);
  assert.equal(await statusOf(family, access), 200);
  family.clock.advance(-1000);
  assert.equal(await statusOf(family, access), 401);
});

/** The other spelling of a base64url text: the bits that its last character does not need. */
function respelled(part: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(part.slice(-1));
  return part.slice(0, -1) + String(alphabet[last ^ 1]);
}

test("JW-07, JW-09: no second spelling of a token is taken, be it live or logged out", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const [head = "", body = "", signature = ""] = access.split(".");
  const spellings = {
    "trailing =": `${access}=`,
    "trailing bits": `${head}.${body}.${respelled(signature)}`,
    "+ and /": `${head}.${body}.${signature.replaceAll("-", "+").replaceAll("_", "/")}+`,
    "five parts": `${head}.${body}.${signature}..`,
    "two parts": `${head}.${body}`,
    "a dot before": `.${access}`,
    "JSON serialisation": Buffer.from(
      JSON.stringify({ protected: head, payload: body, signature }),
    ).toString("base64url"),
    "9 kB": `${head}.${body}${"A".repeat(9000)}.${signature}`,
  };

  await refuses(family, spellings);
  assert.equal(await statusOf(family, access), 200);
  await family.post("/auth/logout", undefined, { token: access });
  await refuses(family, spellings);
});

for (const { what, value, status } of [
  { what: "a line break", value: "token\u0000x", status: 400 },
  { what: "1 MB", value: "a".repeat(1_000_000), status: 431 },
]) {
  test(`JW-07: a bearer with ${what} is refused`, async (t) => {
    const family = await openFamily(t);

    const headers = [`Authorization: Bearer ${value}`];
    const answer = await sendRaw(
      family.port,
      requestText("GET", "/api/v1/mfa/status", { headers }),
    );

    assert.equal(answer.status, status);
  });
}

test("JW-08: a token counts in the Authorization header alone, and two such headers are 400", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const path = "/api/v1/mfa/status";
  const raw = (headers: string[], at = path) =>
    sendRaw(family.port, requestText("GET", at, { headers }));
  const bearer = `Authorization: Bearer ${access}`;

  assert.equal((await raw([], `${path}?access_token=${access}`)).status, 401);
  assert.equal((await raw([`Cookie: access_token=${access}`])).status, 401);
  assert.equal((await raw([`X-Access-Token: ${access}`])).status, 401);
  const inBody = await family.post("/mfa/setup", { access_token: access });
  assert.deepEqual([inBody.status, inBody.error.code], [401, "MISSING_TOKEN"]);
  assert.equal((await raw([bearer])).status, 200);
  for (const twice of [
    [bearer, bearer],
    [bearer, "authorization: Basic eA=="],
  ]) {
    const { status, body } = await raw(twice);
    assert.equal(status, 400);
    assert.match(body, /"VALIDATION_ERROR"/);
  }
});

test("JW-08: where the host has its own cookie session beside it, the bearer alone decides", async (t) => {
  const family = await openFamily(t);
  const { access } = await registerAndLogIn(family);
  const headers = { cookie: "connect.sid=s%3Aabc; bp_token=x" };

  const { status } = await family.get("/mfa/status", { token: access, headers });

  assert.equal(status, 200);
});

const revocations: Readonly<
  Record<
    string,
    (family: OpenedFamily, session: { id: string; access: string }) => Promise<unknown>
  >
> = {
  logout: (family, { access: token }) => family.post("/auth/logout", undefined, { token }),
  "a change of the password elsewhere": async (family) => {
    const { access: token } = await logIn(family);
    const body = { current_password: alice.password, new_password: bob.password };
    return family.post("/users/change-password", body, { token });
  },
  "ending the session elsewhere": async (family, { access }) => {
    const { access: token } = await logIn(family);
    return family.call("DELETE", `/users/sessions/${String(decodeJwt(access).sid)}`, { token });
  },
  "switching the account off": (family, { id }) => family.calls.disable(id),
  "the operator's ending of all sessions": (family, { id }) => family.calls.endSessions(id),
  "deleting the account": (family, { id }) => family.calls.remove(id),
};

for (const [event, revoke] of Object.entries(revocations)) {
  test(`JW-09: ${event} ends access and refresh token at once`, async (t) => {
    const family = await openFamily(t);
    const session = await registerAndLogIn(family);
    assert.equal(await statusOf(family, session.access), 200);

    await revoke(family, session);

    assert.equal(await statusOf(family, session.access), 401);
    const renewed = await family.post("/auth/refresh", { refresh_token: session.refresh });
    assert.equal(renewed.status, 401);
  });
}

test("JW-11: after a rotation new tokens have the new key's id, old ones are good until they expire or the key goes", async (t) => {
  const family = await openFamily(t);
  const session = await registerAndLogIn(family);
  const next = { id: "k2", secret: "the next key for tests, just as long as the one before" };
  const mounted = async (keys: typeof testKeys) => {
    const store = mongooseStore(family.connection);
    const auth = createAuth({ ...family.options, store, keys });
    const app = express();
    app.use(routerOf(auth));
    return clientOf((await listen(t, app)).origin);
  };

  const rotated = await mounted([next, ...testKeys]);
  const retired = await mounted([next]);
  const fresh = await logIn(rotated);

  assert.equal(decodeProtectedHeader(fresh.access).kid, "k2");
  assert.equal(await statusOf(rotated, session.access), 200);
  assert.equal(
    (await rotated.post("/auth/refresh", { refresh_token: session.refresh })).status,
    200,
  );
  assert.deepEqual(
    [await statusOf(retired, session.access), await statusOf(retired, fresh.access)],
    [401, 200],
  );
  assert.equal(await statusOf(family, fresh.access), 401);
});

test("JW-10: a session too low is not called a bad token", async (t) => {
  const family = await openFamily(t, { auth: { policy: { secondFactor: "required" } } });
  await register(family);
  const { access: token } = await logIn(family);

  const { status, headers, error } = await family.get("/users/sessions", { token });

  assert.deepEqual([status, error.code], [403, "FORBIDDEN"]);
  assert.equal(headers.get("www-authenticate"), null);
});
