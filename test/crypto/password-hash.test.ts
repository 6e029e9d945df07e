import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

import { createHashingSlots } from "../../lib/crypto/hashing-slots.ts";
import { createPasswordHasher, slowDigest } from "../../lib/crypto/password-hash.ts";
import { AuthError } from "../../lib/errors.ts";

const run = promisify(execFile);

/** Made with Python's hashlib and libcrypt, except where a line says otherwise. */
const password = "pässwörd with ünïcode";
const imported = {
  bcrypt2a: "$2a$06$abcdefghijklmnopqrstuuqaD7A6q6TUQZ7ylCHsZyTBLGgtwUeM6",
  bcrypt2b: "$2b$06$abcdefghijklmnopqrstuuqaD7A6q6TUQZ7ylCHsZyTBLGgtwUeM6",
  bcrypt2y: "$2y$06$abcdefghijklmnopqrstuuqaD7A6q6TUQZ7ylCHsZyTBLGgtwUeM6",
  scrypt:
    "$scrypt$ln=14,r=8,p=5$MDEyMzQ1Njc4OWFiY2RlZg$kAejqWZnNHO4sm7QBmu1fQ8W2Y6FTQzyZ6NPm9seS2A",
  pbkdf2Sha256:
    "$pbkdf2-sha256$i=600000$MDEyMzQ1Njc4OWFiY2RlZg$t+YhysFWMqt9t3eXTvrs8Ko3KbWP2FP0pbsVHc1cEiQ",
  pbkdf2Sha512:
    "$pbkdf2-sha512$i=600000$MDEyMzQ1Njc4OWFiY2RlZg$dYHnOlc5BWQ2lCo/iZIhsxGUKt1HbqdEhZAxUTajlLuBxDfP4EMiyPgx05Mq5I87wHJskKkba7p+XUqp48UXdQ",
  pbkdf2Passlib:
    "$pbkdf2-sha256$29000$MDEyMzQ1Njc4OWFiY2RlZg$tW17Thk281c5UlaM0D25yWM9i1DgGOwJ6n.F0lAGMUU",
};

const absurd = {
  argon2Memory:
    "$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
  argon2Passes:
    "$argon2id$v=19$m=65536,t=11,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
  argon2Lanes:
    "$argon2id$v=19$m=65536,t=1,p=17$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
  bcryptCost: "$2b$31$abcdefghijklmnopqrstuuqaD7A6q6TUQZ7ylCHsZyTBLGgtwUeM6",
  scryptMemory:
    "$scrypt$ln=30,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$kAejqWZnNHO4sm7QBmu1fQ8W2Y6FTQzyZ6NPm9seS2A",
  pbkdf2Iterations:
    "$pbkdf2-sha256$i=9999999$MDEyMzQ1Njc4OWFiY2RlZg$t+YhysFWMqt9t3eXTvrs8Ko3KbWP2FP0pbsVHc1cEiQ",
  tooLong: `$pbkdf2-sha256$i=1000$${"A".repeat(600)}$t+YhysFWMqt9t3eXTvrs8Ko3KbWP2FP0pbsVHc1cEiQ`,
};

const garbage = [
  "",
  "x",
  "$",
  "$argon2id$v=19$m=19456,t=2,p=1$",
  "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
  "$argon2id$v=19$m=7,t=1,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
  "$constructor$v=19$",
  "$2b$06$tooshort",
  "$scrypt$ln=0,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$kAejqWZnNHO4sm7QBmu1fQ8W2Y6FTQzyZ6NPm9seS2A",
  "$scrypt$ln=14,r=8,p=5$MDEyMzQ1Njc4OWFiY2RlZg$",
  "$pbkdf2-sha256$i=0$MDEyMzQ1Njc4OWFiY2RlZg$t+YhysFWMqt9t3eXTvrs8Ko3KbWP2FP0pbsVHc1cEiQ",
  "$pbkdf2-md5$i=1000$MDEyMzQ1Njc4OWFiY2RlZg$t+YhysFWMqt9t3eXTvrs8A",
  "5f4dcc3b5aa765d61d8327deb882cf99",
];

/** The shortest of fifteen runs of each, in turns, in milliseconds: what the work costs when nothing else runs. */
async function shortest(works: readonly (() => Promise<unknown>)[]): Promise<number[]> {
  const times = works.map(() => Infinity);
  for (let round = 0; round < 15; round += 1) {
    for (const [index, work] of works.entries()) {
      const start = performance.now();
      await work();
      times[index] = Math.min(times[index] ?? Infinity, performance.now() - start);
    }
  }
  return times;
}

async function verdicts(hashes: readonly string[], attempt: string): Promise<boolean[]> {
  const hasher = createPasswordHasher();
  const results: boolean[] = [];
  for (const hash of hashes) results.push(await hasher.verify(hash, attempt));
  return results;
}

test("PW-08: a new hash is an argon2id PHC string at the OWASP minimum with 16 bytes of salt", async () => {
  const hasher = createPasswordHasher();

  const made = await hasher.hash("correct horse battery staple");

  assert.match(made, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
});

test("PW-08: two users with one password have different hashes, and both verify", async () => {
  const hasher = createPasswordHasher();

  const [one, other] = await Promise.all([hasher.hash(password), hasher.hash(password)]);

  assert.notEqual(one, other);
  assert.deepEqual(
    [
      await hasher.verify(one, password),
      await hasher.verify(other, password),
      await hasher.verify(one, "else"),
    ],
    [true, true, false],
  );
});

test("PW-08: parameters below the OWASP minimum fail at start and are named", () => {
  assert.throws(() => createPasswordHasher({ memoryCost: 19455 }), /TypeError.*memoryCost/);
  assert.throws(() => createPasswordHasher({ timeCost: 1 }), /TypeError.*timeCost/);
  assert.throws(() => createPasswordHasher({ memoryCost: 8192, timeCost: 10 }), TypeError);
});

test("PW-08: parameters that no login could afford fail at start and are named", () => {
  assert.throws(() => createPasswordHasher({ memoryCost: 2 ** 20 + 1 }), /TypeError.*memoryCost/);
  assert.throws(() => createPasswordHasher({ timeCost: 11 }), /TypeError.*timeCost/);
  assert.throws(() => createPasswordHasher({ parallelism: 17 }), /TypeError.*parallelism/);
  assert.throws(() => createPasswordHasher({ parallelism: 0.5 }), /TypeError.*parallelism/);
});

test("PW-08: OWASP's other two minimum sets are accepted", async () => {
  const fewPasses = await createPasswordHasher({ memoryCost: 47104, timeCost: 1 }).hash("x");
  const littleMemory = await createPasswordHasher({ memoryCost: 12288, timeCost: 3 }).hash("x");

  assert.match(fewPasses, /\$m=47104,t=1,p=1\$/);
  assert.match(littleMemory, /\$m=12288,t=3,p=1\$/);
});

test("PW-04: the whole password counts: no truncation, trimming or case folding", async () => {
  const hasher = createPasswordHasher();
  const long = "Aa1 ".repeat(25);
  const stored = await hasher.hash(long);

  const near = [long.slice(0, 72), `${long}x`, ` ${long}`, long.trim(), long.toLowerCase()];
  const results = await Promise.all(near.map((attempt) => hasher.verify(stored, attempt)));

  assert.deepEqual(results, [false, false, false, false, false]);
  assert.equal(await hasher.verify(stored, long), true);
});

test("PW-04: a NUL does not end the password", async () => {
  const hasher = createPasswordHasher();
  const stored = await hasher.hash("a\0bcdefghijklmno");

  const results = await Promise.all(
    ["a", "a\0", "a\0bcdefghijklmnp", "a\0bcdefghijklmno"].map((text) =>
      hasher.verify(stored, text),
    ),
  );

  assert.deepEqual(results, [false, false, false, true]);
});

test("PW-05: composed and decomposed spellings are one password", async () => {
  const hasher = createPasswordHasher();

  const composed = await hasher.hash("caf\u00e9 au lait, deux fois");
  const decomposed = await hasher.hash("cafe\u0301 au lait, deux fois");

  assert.equal(await hasher.verify(composed, "cafe\u0301 au lait, deux fois"), true);
  assert.equal(await hasher.verify(decomposed, "caf\u00e9 au lait, deux fois"), true);
});

test("PW-05: compatibility spellings stay different passwords", async () => {
  const hasher = createPasswordHasher();

  const stored = await hasher.hash("\ufb01ne weather today");

  assert.equal(await hasher.verify(stored, "fine weather today"), false);
});

test("PW-09: garbage in the password field is a failed login, never an error", async () => {
  const results = await verdicts(garbage, password);

  assert.deepEqual(
    results,
    garbage.map(() => false),
  );
});

test("PW-09: garbage is not supported and asks for a new hash", async () => {
  const hasher = createPasswordHasher();

  const supported = await Promise.all(garbage.map((hash) => hasher.supports(hash)));

  assert.deepEqual(supported.filter(Boolean), []);
  assert.deepEqual(
    garbage.filter((hash) => !hasher.needsRehash(hash)),
    [],
  );
});

test("EN-01: a missing, broken or unknown hash costs what a wrong password costs", async () => {
  const hasher = createPasswordHasher();
  const stored = await hasher.hash(password);

  const [wrong = NaN, ...others] = await shortest([
    () => hasher.verify(stored, "wrong"),
    () => hasher.verify(undefined, "wrong"),
    () => hasher.verify(stored.slice(0, 60), "wrong"),
    () => hasher.verify("$md5$5f4dcc3b5aa765d61d8327deb882cf99", "wrong"),
  ]);

  const ratios = others.map((time) => time / wrong);
  assert.equal(ratios.length, 3);
  assert.deepEqual(
    ratios.filter((ratio) => ratio < 0.6 || ratio > 1.7),
    [],
  );
});

test("PW-09: bcrypt, scrypt and PBKDF2 hashes of other systems verify", async () => {
  const hashes = Object.values(imported);

  assert.deepEqual(
    await verdicts(hashes, password),
    hashes.map(() => true),
  );
  assert.deepEqual(
    await verdicts(hashes, `${password}x`),
    hashes.map(() => false),
  );
});

test("PW-09: hashes made by passlib verify", async () => {
  // From passlib's manual.
  const scrypt =
    "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
  const pbkdf2 =
    "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M";

  assert.deepEqual(await verdicts([scrypt, pbkdf2], "password"), [true, true]);
});

test("PW-09: argon2 hashes of the reference implementation verify", async () => {
  // From its test suite: argon2i, 64 MiB, two passes, salt "somesalt".
  const stored =
    "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";

  assert.deepEqual(await verdicts([stored], "password"), [true]);
  assert.deepEqual(await verdicts([stored], "Password"), [false]);
});

test("PW-09: an imported bcrypt hash takes its owner's long password, then asks for a whole hash", async () => {
  const hasher = createPasswordHasher();
  const stored = "$2b$06$abcdefghijklmnopqrstuueHLWckpI7Ut91D6aWthlKy4VKsT9yUG"; // 80 times x

  assert.equal(await hasher.verify(stored, "x".repeat(80)), true);
  assert.equal(hasher.needsRehash(stored), true);
});

test("PW-09: without bcryptjs a bcrypt hash is unsupported and a failed login", async () => {
  const hooks = `export async function resolve(specifier, context, next) {
    if (specifier === "bcryptjs") throw new Error("not installed");
    return next(specifier, context);
  }`;
  const module = new URL("../../lib/crypto/password-hash.ts", import.meta.url).href;
  const script = `
    import { register } from "node:module";
    register("data:text/javascript,${encodeURIComponent(hooks)}");
    const { createPasswordHasher } = await import(${JSON.stringify(module)});
    const hasher = createPasswordHasher();
    const stored = ${JSON.stringify(imported.bcrypt2b)};
    console.log(await hasher.supports(stored), await hasher.verify(stored, ${JSON.stringify(password)}));`;

  const { stdout } = await run(process.execPath, [
    ...["--import", "tsx", "--input-type=module", "--eval", script],
  ]);

  assert.equal(stdout.trim(), "false false");
});

test("PW-09: an imported hash cannot claim a gigabyte or minutes", async () => {
  const hasher = createPasswordHasher();
  const hashes = Object.values(absurd);

  const supported = await Promise.all(hashes.map((hash) => hasher.supports(hash)));
  const start = performance.now();
  const verified = await verdicts(hashes, password);

  assert.deepEqual([...supported, ...verified].filter(Boolean), []);
  assert.ok(performance.now() - start < 5000);
});

test("PW-09: weaker and foreign hashes ask for a new one, equal and stronger ones do not", async () => {
  const weak = await createPasswordHasher({ memoryCost: 12288, timeCost: 3 }).hash("x");
  const strong = await createPasswordHasher({ memoryCost: 32768, timeCost: 3 }).hash("x");
  const hasher = createPasswordHasher();

  const judged = [weak, weak.replace("argon2id", "argon2i"), ...Object.values(imported)];

  assert.deepEqual(
    judged.filter((stored) => !hasher.needsRehash(stored)),
    [],
  );
  assert.deepEqual(
    [hasher.needsRehash(await hasher.hash("x")), hasher.needsRehash(strong)],
    [false, false],
  );
});

test("BC-02: the slow digest of a short code depends on code and salt alone", async () => {
  const salt = Buffer.from("0123456789abcdef");

  const [one, again, code, salted] = await Promise.all([
    slowDigest("ABCD2345", salt),
    slowDigest("ABCD2345", salt),
    slowDigest("ABCD2346", salt),
    slowDigest("ABCD2345", Buffer.from("0123456789abcdeX")),
  ]);

  assert.equal(one.byteLength, 32);
  assert.deepEqual(one, again);
  assert.notDeepEqual(one, code);
  assert.notDeepEqual(one, salted);
});

test("PW-12: no more callers hash at once than there are slots", async () => {
  const slots = createHashingSlots({ slots: 4 });
  let now = 0;
  let most = 0;

  const callers = Array.from({ length: 50 }, async () => {
    const release = await slots.take();
    now += 1;
    most = Math.max(most, now);
    await new Promise(setImmediate);
    now -= 1;
    release();
  });
  await Promise.all(callers);

  assert.equal(most, 4);
});

test("PW-12: fifty honest tabs wait, and the caller past the queue is told when to return", async () => {
  const slots = createHashingSlots();
  const served = Array.from({ length: 104 }, () => slots.take());

  await assert.rejects(slots.take(), (error: unknown) => {
    assert.ok(error instanceof AuthError);
    assert.deepEqual(
      { code: error.code, reason: error.reason, retryAfter: error.retryAfter },
      { code: "unavailable", reason: "hash_queue_full", retryAfter: 1 },
    );
    return true;
  });

  for (const slot of served) (await slot)();
  const release = await slots.take();
  release();
});

test("PW-12: releasing twice does not open a second slot", async () => {
  const slots = createHashingSlots({ slots: 1, queue: 1 });
  const release = await slots.take();
  release();
  release();
  const only = await slots.take();

  let served = false;
  const second = slots.take().then(() => (served = true));
  await new Promise(setImmediate);

  assert.equal(served, false);
  only();
  await second;
});

test("PW-12: waiting callers are served in the order they came", async () => {
  const slots = createHashingSlots({ slots: 1 });
  const order: number[] = [];

  const callers = [1, 2, 3, 4].map(async (caller) => {
    const release = await slots.take();
    order.push(caller);
    release();
  });
  await Promise.all(callers);

  assert.deepEqual(order, [1, 2, 3, 4]);
});

test("PW-12: slots and queue that make no sense fail at start and are named", () => {
  assert.throws(() => createHashingSlots({ slots: 0 }), /TypeError.*slots/);
  assert.throws(() => createHashingSlots({ queue: -1 }), /TypeError.*queue/);
});

test("PW-12: a caller that has waited too long gets no slot any more, and takes nobody's place", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const slots = createHashingSlots({ slots: 1, patience: 4000 });
  const release = await slots.take();
  const late = assert.rejects(slots.take(), { code: "unavailable", retryAfter: 1 });
  t.mock.timers.tick(3999);
  const next = slots.take();

  t.mock.timers.tick(1);
  await late;
  release();

  assert.equal(typeof (await next), "function");
});
