import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { brotliDecompressSync } from "node:zlib";

import { pwnedPasswords } from "../../lib/crypto/breached-passwords.ts";
import { commonPasswords } from "../../lib/crypto/common-passwords.data.ts";
import { isCommonPassword } from "../../lib/crypto/common-passwords.ts";
import {
  createPasswordPolicy,
  type PasswordPolicyOptions,
} from "../../lib/crypto/password-policy.ts";
import { AuthError, type Code } from "../../lib/errors.ts";

interface Judgement extends PasswordPolicyOptions {
  readonly atLeast?: number;
  readonly context?: readonly string[];
}

/** What the policy says to a password: its code, or nothing. Looks up no breaches unless told to. */
async function judge(
  password: string,
  { atLeast = 15, context = [], ...options }: Judgement = {},
): Promise<Code | undefined> {
  const policy = createPasswordPolicy({ breached: false, ...options });
  try {
    await policy.check(password, { minLength: atLeast, context });
    return undefined;
  } catch (error) {
    assert.ok(error instanceof AuthError);
    return error.code;
  }
}

/** A range server of the test's own. Its base address and what it was asked. */
async function startRangeServer(t: TestContext, answer: RequestListener) {
  const requests: IncomingMessage[] = [];
  const server = createServer((req, res) => {
    requests.push(req);
    answer(req, res);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${String(port)}/range/`, requests };
}

function suffixOf(password: string): string {
  return createHash("sha1").update(password).digest("hex").toUpperCase().slice(5);
}

/** The policy's verdict on an uncommon password while the range server misbehaves, and how long it took. */
async function judgeDuring(t: TestContext, answer: (res: ServerResponse) => void) {
  const { url } = await startRangeServer(t, (_req, res) => {
    answer(res);
  });
  const breached = pwnedPasswords({ url });
  const start = performance.now();
  const verdicts = [
    await judge("plum orbit lantern quiz", { breached }),
    await judge("1q2w3e4r5t6y7u8i", { breached }),
  ];
  return { verdicts, duration: performance.now() - start };
}

test("PW-01: a password that stands alone has at least 15 code points", async () => {
  assert.equal(await judge("qzvkwjxmpbtrfy"), "password_too_short");
  assert.equal(await judge("qzvkwjxmpbtrfyd"), undefined);
});

test("PW-01: beside an enforced second factor 8 code points are enough", async () => {
  assert.equal(await judge("qzvkwjx", { atLeast: 8 }), "password_too_short");
  assert.equal(await judge("qzvkwjxm", { atLeast: 8 }), undefined);
});

test("PW-01: eight emoji are eight code points, not sixteen", async () => {
  const emoji = "🦊🍉🚲🌋🎻🧭🪁🐙";

  assert.equal(await judge(emoji, { atLeast: 8 }), undefined);
  assert.equal(await judge(emoji, { atLeast: 9 }), "password_too_short");
});

test("PW-01: a decomposed letter counts once, as it is hashed", async () => {
  assert.equal(await judge("e\u0301".repeat(8), { atLeast: 9 }), "password_too_short");
});

test("PW-01: an option takes the place of the minimum, but never goes below 8", async () => {
  assert.equal(await judge("qzvkwjxmpb", { minLength: 10 }), undefined);
  assert.equal(await judge("qzvkwjxmp", { minLength: 10, atLeast: 8 }), "password_too_short");
  assert.throws(() => createPasswordPolicy({ minLength: 7 }), /TypeError.*minLength/);
  assert.throws(() => createPasswordPolicy({ minLength: 65 }), /TypeError.*minLength/);
});

test("PW-02: 64 and 1024 bytes are accepted, 1025 are not", async () => {
  assert.equal(await judge("qz7 ".repeat(16)), undefined);
  assert.equal(await judge("qz7 ".repeat(256)), undefined);
  assert.equal(await judge(`${"qz7 ".repeat(256)}x`), "password_too_long");
});

test("PW-02: the cap counts UTF-8 bytes and is judged before anything is looked up", async () => {
  let lookedUp = 0;
  const common = () => {
    lookedUp += 1;
    return Promise.resolve(false);
  };

  assert.equal(await judge("€".repeat(342), { common }), "password_too_long");
  assert.equal(lookedUp, 0);
});

test("PW-02: a cap too low for 64 code points of any script fails at start", () => {
  assert.throws(() => createPasswordPolicy({ maxBytes: 255 }), /TypeError.*maxBytes/);
});

test("PW-03: no composition rules: one kind of letter, spaces or another script will do", async () => {
  const verdicts = await Promise.all([
    judge("qqqqqqqzqqqqqqqq"),
    judge("words with only spaces between"),
    judge("правильная лошадь батарея"),
    judge("                    "),
  ]);

  assert.deepEqual(verdicts, [undefined, undefined, undefined, undefined]);
});

test("PW-04: the policy passes on every character, spaces and NUL too", async () => {
  const seen: string[] = [];
  const common = (password: string) => {
    seen.push(password);
    return Promise.resolve(false);
  };

  await judge(" a\0b Cdefghijklmno ", { common });

  assert.deepEqual(seen, [" a\0b Cdefghijklmno "]);
});

test("PW-05: lists are asked for the NFC form, the one that is hashed", async () => {
  const seen: string[] = [];
  const lookUp = (password: string) => {
    seen.push(password);
    return Promise.resolve(false);
  };

  await judge("cafe\u0301 au lait, deux fois", { common: lookUp, breached: lookUp });

  assert.deepEqual(seen, ["caf\u00e9 au lait, deux fois", "caf\u00e9 au lait, deux fois"]);
});

test("PW-06: the local list holds over 100,000 passwords that meet the length", () => {
  const list = brotliDecompressSync(Buffer.from(commonPasswords, "base64")).toString();
  const entries = list.slice(1, -1).split("\n");

  assert.ok(entries.length >= 100_000);
  assert.equal(new Set(entries).size, entries.length);
  assert.deepEqual(
    entries.filter((entry) => entry.length < 8 || entry !== entry.toLowerCase()),
    [],
  );
});

test("PW-06: a common password is refused, in any case", async () => {
  const verdicts = await Promise.all([
    judge("password1", { atLeast: 8 }),
    judge("PassWord1", { atLeast: 8 }),
    judge("1q2w3e4r5t6y7u8i"),
    judge("qwertyuiop123456789"),
  ]);

  assert.deepEqual(verdicts, [
    "password_common",
    "password_common",
    "password_common",
    "password_common",
  ]);
});

test("PW-06: the list is matched as a whole: one more character, or a part, is accepted", async () => {
  const verdicts = await Promise.all([
    judge("1q2w3e4r5t6y7u8i~"),
    judge("qwertyuiop123456789~"),
    judge("~password1", { atLeast: 8 }),
    judge("1q2w3e4r5t6y7u8i\n1q2w3e4r5t6y7u8i9o"),
  ]);

  assert.deepEqual(verdicts, [undefined, undefined, undefined, undefined]);
});

test("PW-06: a password across two neighbours of the list is not an entry", async () => {
  const list = brotliDecompressSync(Buffer.from(commonPasswords, "base64")).toString();
  const [one = "", next = ""] = list.slice(1).split("\n");

  assert.equal(await isCommonPassword(one), true);
  assert.equal(await isCommonPassword(`${one}\n${next}`), false);
});

test("PW-06: the service's name, the user's name, address and its local part are no passwords", async () => {
  const context = ["Contoso Payroll Portal", "mirabel-oakenshaw", "Mirabel.Oakenshaw@example.com"];

  const verdicts = await Promise.all([
    judge("contoso payroll portal", { context }),
    judge("Mirabel-Oakenshaw", { context }),
    judge("mirabel.oakenshaw@EXAMPLE.com", { context }),
    judge("mirabel.oakenshaw", { context }),
  ]);

  assert.deepEqual(verdicts, [
    "password_common",
    "password_common",
    "password_common",
    "password_common",
  ]);
});

test("PW-06: context words are matched as a whole too", async () => {
  const context = ["Contoso Payroll Portal", "mirabel.oakenshaw@example.com", ""];

  const verdicts = await Promise.all([
    judge("contoso payroll portal!", { context }),
    judge("the mirabel.oakenshaw way", { context }),
  ]);

  assert.deepEqual(verdicts, [undefined, undefined]);
});

test("PW-06: a breached password is refused with a code of its own", async () => {
  const breached = () => Promise.resolve(true);

  assert.equal(await judge("plum orbit lantern quiz", { breached }), "password_breached");
});

test("PW-07: sends only five hex digits of the hash, and asks for padding", async (t) => {
  const { url, requests } = await startRangeServer(t, (_req, res) => res.end());

  await pwnedPasswords({ url })("plum orbit lantern quiz");

  const [request] = requests;
  const digest = createHash("sha1").update("plum orbit lantern quiz").digest("hex").toUpperCase();
  assert.equal(requests.length, 1);
  assert.equal(request?.url, `/range/${digest.slice(0, 5)}`);
  assert.equal(request.headers["add-padding"], "true");
  assert.doesNotMatch(
    JSON.stringify([request.url, request.rawHeaders]),
    new RegExp(digest.slice(5, 12), "i"),
  );
});

test("PW-07: a listed suffix is a breach, whatever the case and the line ends", async (t) => {
  const suffix = suffixOf("plum orbit lantern quiz");
  const upper = await startRangeServer(t, (_req, res) =>
    res.end(`0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n${suffix}:42\r\nFFF:3`),
  );
  const lower = await startRangeServer(t, (_req, res) => res.end(`${suffix.toLowerCase()}:1\n`));

  assert.equal(await pwnedPasswords({ url: upper.url })("plum orbit lantern quiz"), true);
  assert.equal(await pwnedPasswords({ url: lower.url })("plum orbit lantern quiz"), true);
});

test("PW-07: a padding row that counts 0 is not a breach", async (t) => {
  const suffix = suffixOf("plum orbit lantern quiz");
  const { url } = await startRangeServer(t, (_req, res) => res.end(`${suffix}:0\r\n`));

  assert.equal(await pwnedPasswords({ url })("plum orbit lantern quiz"), false);
});

test("PW-07: the suffix of another password is not a breach", async (t) => {
  const { url } = await startRangeServer(t, (_req, res) => res.end(`${suffixOf("else")}:9\r\n`));

  assert.equal(await pwnedPasswords({ url })("plum orbit lantern quiz"), false);
});

test("PW-07: while the range server never answers, the local list decides within 3 s", async (t) => {
  const { verdicts, duration } = await judgeDuring(t, () => undefined);

  assert.deepEqual(verdicts, [undefined, "password_common"]);
  assert.ok(duration < 3000, `took ${String(duration)} ms`);
});

test("PW-07: while the answer's body hangs, the local list decides within 3 s", async (t) => {
  const { verdicts, duration } = await judgeDuring(t, (res) => {
    res.write("0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n");
  });

  assert.deepEqual(verdicts, [undefined, "password_common"]);
  assert.ok(duration < 3000, `took ${String(duration)} ms`);
});

test("PW-07: after a 500, the local list decides", async (t) => {
  const { verdicts } = await judgeDuring(t, (res) => {
    res.statusCode = 500;
    res.end(`${suffixOf("plum orbit lantern quiz")}:42`);
  });

  assert.deepEqual(verdicts, [undefined, "password_common"]);
});

test("PW-07: after a reset connection, the local list decides", async (t) => {
  const { verdicts } = await judgeDuring(t, (res) => res.socket?.resetAndDestroy());

  assert.deepEqual(verdicts, [undefined, "password_common"]);
});

test("PW-07: a redirect is not followed", async (t) => {
  const elsewhere = await startRangeServer(t, (_req, res) => res.end());

  const { verdicts } = await judgeDuring(t, (res) => {
    res.writeHead(302, { location: elsewhere.url }).end();
  });

  assert.deepEqual(verdicts, [undefined, "password_common"]);
  assert.equal(elsewhere.requests.length, 0);
});

test("PW-07: an answer of more than a megabyte is dropped", async (t) => {
  const { verdicts } = await judgeDuring(t, (res) => {
    res.write("A".repeat(2 ** 21));
    res.end(`\r\n${suffixOf("plum orbit lantern quiz")}:42\r\n`);
  });

  assert.deepEqual(verdicts, [undefined, "password_common"]);
});

test("PW-07: an address that would show the prefix on the wire, or a long timeout, fails at start", () => {
  assert.throws(() => pwnedPasswords({ url: "http://ranges.example.com/" }), /TypeError.*url/);
  assert.throws(() => pwnedPasswords({ url: "ranges" }), /TypeError.*url/);
  assert.throws(() => pwnedPasswords({ timeout: 2001 }), /TypeError.*timeout/);
  assert.throws(() => pwnedPasswords({ timeout: 0 }), /TypeError.*timeout/);
});

test("PW-07: the base may be written without its last slash", async (t) => {
  const { url, requests } = await startRangeServer(t, (_req, res) => res.end());

  await pwnedPasswords({ url: url.slice(0, -1) })("plum orbit lantern quiz");

  assert.match(requests[0]?.url ?? "", /^\/range\/[0-9A-F]{5}$/);
});
