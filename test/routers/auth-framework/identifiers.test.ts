import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalName, readAddress } from "../../../lib/names.ts";
import { AuthError } from "../../../lib/index.ts";
import { alice, openFamily, register } from "../../support/auth-framework.ts";

function orRefused(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof AuthError && error.code === "invalid_input", String(error));
    return undefined;
  }
}

const odd = fc.constantFrom(
  ...[
    "ß",
    "ſ",
    "ı",
    "İ",
    "K",
    "Å",
    "é",
    "e\u0301",
    "Σ",
    "ς",
    "ﬁ",
    "ａ",
    "ᵃ",
    "\u200b",
    "\u202e",
    " ",
  ],
  ...["@", ".", "-", "xn--", "İ@x", "\u0345", "ͅ", "ẞ", "Ω", "Ω", "a", "Z", "9", "_"],
);
const anyName = fc.oneof(
  fc.array(odd, { minLength: 1, maxLength: 12 }).map((parts) => parts.join("")),
  fc.string({ unit: "binary", minLength: 1, maxLength: 20 }),
  fc.emailAddress(),
);

test("IV-05: the canonical form of a canonical form is itself, whatever is typed", () => {
  fc.assert(
    fc.property(anyName, (typed) => {
      const once = orRefused(() => canonicalName(typed));
      if (once === undefined) return;
      assert.equal(
        orRefused(() => canonicalName(once)),
        once,
      );
    }),
    { numRuns: 3000 },
  );
});

test("IV-05: an address read twice is the same, and its canonical form finds itself", () => {
  fc.assert(
    fc.property(anyName, (typed) => {
      const { address, canonical } = orRefusedAddress(typed) ?? {};
      if (address === undefined || canonical === undefined) return;
      assert.equal(readAddress(address).address, address);
      assert.equal(readAddress(canonical).canonical, canonical);
      assert.ok(address.length <= 254 && !/[\p{C}\p{Z}]/u.test(address));
    }),
    { numRuns: 3000 },
  );
});

function orRefusedAddress(typed: string) {
  try {
    return readAddress(typed);
  } catch {
    return undefined;
  }
}

const twins: readonly (readonly [string, string])[] = [
  ["adm\u0131n@example.org", "admin@example.org"],
  ["\u212aelvin@example.org", "kelvin@example.org"],
  ["\u0130x@example.org", "ix@example.org"],
  ["\u017fam@example.org", "sam@example.org"],
  ["stra\u00dfe@example.org", "strasse@example.org"],
  ["a\u200bdmin@example.org", "admin@example.org"],
  ["admin@example.org\u202e", "admin@example.org"],
  ["\u0430dmin@example.org", "admin@example.org"],
  ["\uff41dmin@example.org", "admin@example.org"],
];

for (const [lookalike, plain] of twins) {
  test(`IV-05, IV-06: ${JSON.stringify(lookalike)} is not ${plain}: refused at registration, login and change`, async (t) => {
    const family = await openFamily(t);
    await register(family, { ...alice, username: "plain", email: plain });
    const person = { ...alice, username: "twin", email: lookalike };

    const registered = await family.post("/auth/register", person);
    const entered = await family.post("/auth/login", {
      username: lookalike,
      password: alice.password,
    });
    const resent = await family.post("/auth/resend-verification", { email: lookalike });

    assert.ok([400, 409].includes(registered.status), registered.text);
    assert.notEqual(entered.status, 200);
    assert.equal(resent.status, 400);
    const to = (await family.mails()).map((mail) => mail.to);
    assert.deepEqual([...new Set(to)], [plain]);
  });
}

for (const [typed, stored] of [
  ["Bob@BÜCHER.example", "Bob@xn--bcher-kva.example"],
  [" carol@example.org ", "carol@example.org"],
  ["dave@EXAMPLE.ORG", "dave@example.org"],
] as const) {
  test(`IV-05: the address ${JSON.stringify(typed)} is stored and written to as ${stored}`, async (t) => {
    const family = await openFamily(t);

    const { status, data } = await family.post("/auth/register", { ...alice, email: typed });

    assert.deepEqual([status, data.email], [200, stored]);
    assert.deepEqual(
      (await family.mails()).map(({ to }) => to),
      [stored],
    );
    const again = { ...alice, username: "again", email: stored.toUpperCase() };
    assert.equal((await family.post("/auth/register", again)).status, 409);
  });
}

for (const username of [
  "a\u0000bc",
  "a\u202ebc",
  "a\u200bbc",
  "two words",
  "Ｋelvin",
  "\u212aelvin",
  "a@b@c",
  "x@",
  "ab",
]) {
  test(`IV-05: the user name ${JSON.stringify(username)} is refused`, async (t) => {
    const family = await openFamily(t);

    const { status, error } = await family.post("/auth/register", { ...alice, username });

    assert.deepEqual([status, error.code], [400, "VALIDATION_ERROR"]);
  });
}

test("IV-06: names of one spelling in another case are one name, in every script", async (t) => {
  const family = await openFamily(t);
  await register(family, { ...alice, username: "Ἀλίκη-é" });

  for (const username of ["ἀλίκη-é", "ἈΛΊΚΗ-É", "ἀλίκη-e\u0301"]) {
    const { status } = await family.post("/auth/login", { username, password: alice.password });
    assert.equal(status, 200, username);
  }
});

const adversarial: readonly string[] = [
  " ".repeat(100_000),
  "-".repeat(100_000),
  "a ".repeat(50_000),
  `${"a.".repeat(50_000)}@`,
  `a@${"a-".repeat(50_000)}`,
  `a@${"a.".repeat(50_000)}`,
  "0".repeat(100_000),
  `${"A -".repeat(33_000)}!`,
  "\u0345".repeat(100_000),
  `mfa_${"_".repeat(100_000)}`,
];

test("IV-08: no form takes long to refuse: 100 kB of the worst text for each field, in milliseconds", async (t) => {
  const { authFrameworkSchemas } = await schemas();
  const family = await openFamily(t);
  assert.equal(family.faults.length, 0);

  for (const [name, schema] of Object.entries(authFrameworkSchemas)) {
    if (!name.endsWith("Request")) continue;
    for (const text of adversarial) {
      const body = Object.fromEntries(Object.keys(schema.shape).map((field) => [field, text]));
      const took = fastest(() => schema.safeParse(body));
      assert.ok(took < 25, `${name} ${text.slice(0, 6)}`);
    }
  }
  for (const text of adversarial) {
    const took = fastest(() => {
      orRefused(() => canonicalName(text));
      orRefusedAddress(text);
    });
    assert.ok(took < 25, text.slice(0, 6));
  }
});

/** Milliseconds of the fastest of five runs: what other work on the machine adds is not the form's. */
function fastest(work: () => unknown): number {
  const times = Array.from({ length: 5 }, () => {
    const began = performance.now();
    work();
    return performance.now() - began;
  });
  return Math.min(...times);
}

async function schemas() {
  const all = await import("../../../routers/auth-framework/schemas.ts");
  const shaped = all as unknown as Record<
    string,
    { shape: object; safeParse: (value: unknown) => unknown }
  >;
  return { authFrameworkSchemas: shaped };
}
