import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { generateSync } from "otplib";
import { createAuth, memoryThrottle } from "polyfactor";
import { encodeSeed, keyUri, matchStep } from "../../lib/factors/totp.ts";
import {
  actingIn,
  browser,
  enrolTotp,
  logIn,
  openAuth,
  refusal,
  registerAlice,
  registerWithTotp,
  submitCode,
  testKeys,
  ticketIn,
  totpCode,
} from "../support/auth.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const seed = ascii("12345678901234567890");

test("TO-01: the counter vectors of RFC 4226 come out", () => {
  const expected = "755224 287082 359152 969429 338314 254676 287922 162583 399871 520489";

  const codes = Array.from({ length: 10 }, (_, counter) =>
    generateSync({ strategy: "hotp", secret: seed, counter }),
  );

  assert.equal(codes.join(" "), expected);
});

for (const { seconds, sha1, sha256, sha512 } of [
  { seconds: 59, sha1: "94287082", sha256: "46119246", sha512: "90693936" },
  { seconds: 1111111109, sha1: "07081804", sha256: "68084774", sha512: "25091201" },
  { seconds: 1111111111, sha1: "14050471", sha256: "67062674", sha512: "99943326" },
  { seconds: 1234567890, sha1: "89005924", sha256: "91819424", sha512: "93441116" },
  { seconds: 2000000000, sha1: "69279037", sha256: "90698825", sha512: "38618901" },
  { seconds: 20000000000, sha1: "65353130", sha256: "77737706", sha512: "47863826" },
]) {
  test(`TO-01: the vectors of RFC 6238 at ${seconds} s come out, and ours takes the six digits`, () => {
    const digits = "1234567890".repeat(7);
    const codeOf = (algorithm: "sha1" | "sha256" | "sha512", length: number): string =>
      generateSync({
        secret: ascii(digits.slice(0, length)),
        algorithm,
        digits: 8,
        epoch: seconds,
      });

    const codes = [codeOf("sha1", 20), codeOf("sha256", 32), codeOf("sha512", 64)];
    const step = matchStep(seed, sha1.slice(2), seconds * 1000);

    assert.deepEqual(codes, [sha1, sha256, sha512]);
    assert.equal(step, Math.floor(seconds / 30));
  });
}

test("TO-02: a set-up shows a new secret of twenty random bytes in upper-case base32", async (t) => {
  const { calls } = await openAuth(t);
  const acting = await actingIn(calls, await logIn(calls, await registerAlice(calls)));

  const { secret } = await calls.enrolTotp(acting, {}, browser);
  const drawn = new Set(Array.from({ length: 1000 }, () => encodeSeed(randomSeed())));

  assert.match(secret, /^[A-Z2-7]{32}$/);
  assert.equal(drawn.size, 1000);
});

function randomSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(20));
}

for (const { step, taken } of [
  { step: -2, taken: false },
  { step: -1, taken: true },
  { step: 0, taken: true },
  { step: 1, taken: true },
  { step: 2, taken: false },
]) {
  test(`TO-03: a code of step ${step} from now is ${taken ? "taken" : "refused"}`, async (t) => {
    const opened = await openAuth(t);
    const { calls, clock } = opened;
    const alice = await registerWithTotp(opened);
    clock.advance(300_000);
    const ticket = ticketIn(await logIn(calls, alice));

    const outcome = await submitCode(calls, ticket, totpCode(alice.secret, clock, step)).then(
      ({ status }) => status,
      () => "refused",
    );

    assert.equal(outcome, taken ? "complete" : "refused");
  });
}

test("TO-08: the key URI parses back to what was put in, without the colons that would split it", () => {
  const uri = new URL(keyUri({ issuer: "A:B & C/ü", account: "x:y@z", seed }));

  assert.equal(uri.protocol, "otpauth:");
  assert.equal(decodeURIComponent(uri.pathname).replace(/^\/+(?:totp\/)?/, ""), "AB & C/ü:xy@z");
  assert.deepEqual(Object.fromEntries(uri.searchParams), {
    secret: encodeSeed(seed),
    issuer: "AB & C/ü",
    algorithm: "SHA1",
    digits: "6",
    period: "30",
  });
});

test("TO-08, CR-04: an issuer with a colon is refused at start", async (t) => {
  const { options } = await openAuth(t);

  assert.throws(() => createAuth({ ...options, issuer: "a:b" }), /issuer/);
});

test("BC-01: our backup codes have 125 bits, ten of a set, and no two are alike", async (t) => {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);

  const { backupCodes } = alice;

  assert.equal(new Set(backupCodes).size, 10);
  for (const code of backupCodes) assert.match(code, /^(?:[A-Z2-7]{5}-){4}[A-Z2-7]{5}$/);
  assert.equal(25 * Math.log2(32), 125);
});

for (const [how, typed] of [
  ["in lower case", (code: string) => code.toLowerCase()],
  ["without hyphens", (code: string) => code.replaceAll("-", "")],
  ["with spaces", (code: string) => code.replaceAll("-", " ")],
] as const) {
  test(`BC-05: a backup code typed ${how} is the same code`, async (t) => {
    const opened = await openAuth(t);
    const { calls } = opened;
    const alice = await registerWithTotp(opened);
    const [code = ""] = alice.backupCodes;

    const progress = await submitCode(calls, ticketIn(await logIn(calls, alice)), typed(code));

    assert.equal(progress.status, "complete");
  });
}

test("BC-05: letters that only look alike are no backup code", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerWithTotp(opened);
  const [code = ""] = alice.backupCodes;
  const lookAlike = code.replace(/[A-Z]/, (letter) =>
    String.fromCodePoint((letter.codePointAt(0) ?? 0) + 0xfee0),
  );

  const code_ = await refusal(submitCode(calls, ticketIn(await logIn(calls, alice)), lookAlike));

  assert.equal(code_, "invalid_code");
});

for (const email of [
  "a@b.example,evil@example.net",
  '"evil@example.net x"@b.example',
  "a@b.example\r\nBcc: evil@example.net",
  "group:a@b.example;",
  "a b@b.example",
  "<a@b.example>",
  "a@127.0.0.1",
  "a@[127.0.0.1]",
  "a@b.example (comment)",
]) {
  test(`OB-09: ${JSON.stringify(email)} is no address that a mail could go to`, async (t) => {
    const opened = await openAuth(t);

    const code = await refusal(registerAlice(opened.calls, { email }));

    assert.equal(code, "invalid_input");
    assert.deepEqual(await opened.mails(), []);
  });
}

test("OB-09, IV-10: a mail goes to the stored address alone and holds no text of a client's", async (t) => {
  const opened = await openAuth(t);
  const { calls } = opened;
  const alice = await registerAlice(calls, { username: "<img/src=x>" });
  const acting = await actingIn(calls, await logIn(calls, alice));
  await enrolTotp(calls, acting, { clock: opened.clock, name: "x\r\nBcc: evil@example.net" });

  const mails = await opened.mails();

  assert.deepEqual(new Set(mails.map(({ to }) => to)), new Set(["alice@example.org"]));
  for (const { subject, text, html = "" } of mails) {
    assert.doesNotMatch(subject + text + html, /<img|Bcc|[\r]/);
  }
});

test("JW-03: a key below thirty-two bytes is refused at start", async (t) => {
  const { options } = await openAuth(t);
  const keys = [{ id: "short", secret: "x1y2z3x1y2z3x1y2z3x1y2z3x1y2z3a" }];

  assert.throws(() => createAuth({ ...options, keys }), /keys\[0\]\.secret/);
});

test("CR-01: no secret comes from anything but the random generator of node:crypto", () => {
  const sources = ["lib", "strategies", "routers"].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .map((file) => join(folder, file)),
  );

  const suspect = sources.filter((file) =>
    /Math\.random|nanoid|uuid/.test(readFileSync(file, "utf8")),
  );
  const drawing = sources.filter((file) =>
    /randomBytes|randomInt/.test(readFileSync(file, "utf8")),
  );

  assert.deepEqual(suspect, []);
  assert.deepEqual(drawing.sort(), ["lib/crypto/password-hash.ts", "lib/crypto/random.ts"]);
});

for (const length of [1, 42, 44, 500]) {
  test(`CR-02: a secret of ${length} characters is refused like a wrong one, not with a fault`, async (t) => {
    const opened = await openAuth(t);
    const { calls } = opened;
    const alice = await registerWithTotp(opened);
    const ticket = Buffer.from(ticketIn(await logIn(calls, alice)), "base64url").toString("utf8");
    const [subject = "", entry = ""] = ticket.split("\n");
    const forged = Buffer.from([subject, entry, "A".repeat(length)].join("\n")).toString(
      "base64url",
    );

    const code = await refusal(submitCode(calls, forged, totpCode(alice.secret, opened.clock)));

    assert.equal(code, "invalid_ticket");
  });
}

test("CR-06: what a route is given to act with shows no hash and no seed", async (t) => {
  const opened = await openAuth(t);
  const { acting, id } = await registerWithTotp(opened);
  const { password, totp = {} } = await opened.account(id);
  const [device] = Object.values(totp);

  const shown = JSON.stringify(acting) + inspect(acting, { depth: 9 });

  assert.ok(password !== undefined && device !== undefined);
  assert.ok(!shown.includes(password.hash) && !shown.includes(device.seed));
});

test("TH-10: a limiter that is out of reach refuses, and nothing is evaluated", async (t) => {
  const broken = { ...memoryThrottle(), take: () => Promise.reject(new Error("connection lost")) };
  const opened = await openAuth(t, { throttle: broken, keys: testKeys });
  const { calls, hasher } = opened;
  await calls.import({ username: "alice", email: "alice@example.org" });

  const code = await refusal(logIn(calls, { username: "alice", password: "whatever it may be" }));

  assert.equal(code, "unavailable");
  assert.equal(hasher.verified, 0);
});

test("TH-10: a limiter that never answers is not waited for", async (t) => {
  const silent = { ...memoryThrottle(), take: () => new Promise<never>(() => undefined) };
  const { calls } = await openAuth(t, { throttle: silent });

  const code = await refusal(logIn(calls, { username: "alice", password: "whatever it may be" }));

  assert.equal(code, "unavailable");
});
