import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import fc from "fast-check";
import mongoose, { Schema } from "mongoose";
import {
  apply,
  AuthError,
  change,
  memoryRecords,
  mongoRecords,
  toMongo,
  type Change,
  type ChangeBuilder,
  type Condition,
  type Effect,
  type Path,
  type Records,
  type Stored,
} from "../../lib/index.ts";
import { openDatabase, type TestDatabase } from "../support/database.ts";

let database: TestDatabase;
before(async () => {
  database = await openDatabase();
});
after(() => database.close());

type Tree = Record<string, Stored>;

/** Few names and few numbers, so that paths meet and comparisons fall either way; `0` could be taken for an index. */
const segment = fc.constantFrom("a", "b", "0", "id-_9");
const path = fc.array(segment, { minLength: 1, maxLength: 3 });
const number = fc.oneof(
  fc.integer({ min: -2, max: 3 }),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0), // no −0
);
const scalar = fc.oneof(number, fc.boolean(), fc.constantFrom("", "a", "1"));
const { tree } = fc.letrec<{ tree: Tree; value: Stored }>((tie) => ({
  value: fc.oneof({ maxDepth: 2 }, scalar, tie("tree")),
  tree: fc.dictionary(segment, tie("value"), { maxKeys: 3 }),
}));

const single: fc.Arbitrary<Condition> = fc.record({
  path,
  test: fc.oneof(
    scalar.map((equals) => ({ equals })),
    fc.boolean().map((present) => ({ present })),
    number.map((below) => ({ below })),
    number.map((above) => ({ above })),
    number.map((atLeast) => ({ atLeast })),
    number.map((atMost) => ({ atMost })),
    number.map((notAtLeast) => ({ notAtLeast })),
  ),
});
const choice = fc.array(fc.array(single, { minLength: 1, maxLength: 2 }), {
  minLength: 1,
  maxLength: 3,
});
const effect: fc.Arbitrary<Effect> = fc.oneof(
  fc.record({ kind: fc.constant("set" as const), path, value: fc.oneof(scalar, tree) }),
  fc.record({ kind: fc.constant("add" as const), path, by: number }),
  fc.record({ kind: fc.constant("unset" as const), path }),
);
const anyChange = fc
  .record({
    singles: fc.array(single, { maxLength: 2 }),
    choices: fc.array(choice, { maxLength: 1 }),
    effects: fc.array(effect, { minLength: 1, maxLength: 4 }),
  })
  .map(({ singles, choices, effects }) => {
    const conditions: Condition[] = [...singles, ...choices.map((anyOf) => ({ anyOf }))];
    return effects.reduce(addUnlessCollides, change().and({ conditions, effects: [] }));
  });

function addUnlessCollides(built: ChangeBuilder, more: Effect): ChangeBuilder {
  try {
    return built.and({ conditions: [], effects: [more] });
  } catch {
    return built;
  }
}

/** What a change comes to: the record after it, `null` where a condition does not hold, or an error. */
type Outcome = object | null | "error";

function applied(record: Tree | undefined, wanted: Change): Outcome {
  try {
    return apply(record, wanted);
  } catch {
    return "error";
  }
}

const collection = () =>
  database.connection.collection<Record<string, unknown> & { _id: string }>("records");

async function sent(record: Tree | undefined, wanted: Change, at: string): Promise<Outcome> {
  const _id = randomUUID();
  await collection().insertOne({ _id, ...(record && (at === "" ? record : { [at]: record })) });
  const { filter, update } = toMongo(wanted, { at });
  try {
    const { matchedCount } = await collection().updateOne({ _id, ...filter }, update as object);
    if (matchedCount === 0) return null;
  } catch (error) {
    assert.equal((error as Error).name, "MongoServerError");
    return "error";
  }
  const found: Record<string, unknown> =
    (await collection().findOne({ _id }, { projection: { _id: 0 } })) ?? {};
  return at === "" ? found : ((found[at] as object | undefined) ?? {});
}

for (const { at, where } of [
  { at: "", where: "in a document of its own" },
  { at: "mfa", where: "below a path of a host's document" },
]) {
  test(`MongoDB and the pure function agree on what a change does to a record ${where}`, async () => {
    const pair = fc.tuple(fc.option(tree, { nil: undefined, freq: 6 }), anyChange);

    await fc.assert(
      fc.asyncProperty(fc.array(pair, { minLength: 20, maxLength: 40 }), async (pairs) => {
        const fromMongo = await Promise.all(
          pairs.map(([record, wanted]) => sent(record, wanted, at)),
        );

        const pure = pairs.map(([record, wanted]) => applied(record, wanted));
        assert.deepEqual(fromMongo, pure);
      }),
      { numRuns: 25 },
    );
  });
}

test("the random changes are granted, refused and impossible in turn, so their agreement says something", () => {
  const outcomes = fc
    .sample(fc.tuple(tree, anyChange), { numRuns: 500, seed: 1 })
    .map(([record, wanted]) => applied(record, wanted));

  const granted = outcomes.filter((outcome) => outcome !== null && outcome !== "error").length;
  const impossible = outcomes.filter((outcome) => outcome === "error").length;
  assert.ok(granted > 50 && granted < 450, `${granted} of 500 were granted`);
  assert.ok(impossible > 10, `${impossible} of 500 were impossible`);
});

const unstorable: readonly [string, unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["an array", ["a"]],
  ["NaN", NaN],
  ["infinity", -Infinity],
  ["a bigint", 1n],
  ["a function", () => "a"],
  ["a date", new Date(0)],
  ["a Map", new Map([["a", 1]])],
  ["a regular expression", /a/],
  ["bytes", new Uint8Array([1])],
  ["undefined inside a map", { a: { b: undefined } }],
  ["an array inside a map", { a: ["b"] }],
  ["a key that is an operator inside a map", { a: { $gt: 1 } }],
  ["a dotted key inside a map", { "a.b": 1 }],
];
for (const [name, value] of unstorable) {
  test(`C-12: a change refuses to store ${name}`, () => {
    assert.throws(() => change().set(["a"], value as Stored), TypeError);
  });
}

test("C-12: a change refuses a condition on undefined, which MongoDB would take for an absent field", () => {
  assert.throws(() => change().when(["a"], { equals: undefined as unknown as string }), TypeError);
});

test("IV-02: a change refuses a condition on a map, which could hold an operator", () => {
  const smuggled = { $ne: "" } as unknown as string;

  assert.throws(() => change().when(["a"], { equals: smuggled }), TypeError);
});

const strangers = ["$x", "a.b", "", "__proto__", "constructor", "a\0", "ä", "a".repeat(65)];
for (const stranger of strangers) {
  test(`a change refuses the path segment ${JSON.stringify(stranger)} in conditions and effects`, () => {
    const inside: Path = ["totp", stranger, "lastStep"];

    assert.throws(() => change().set(inside, 1), TypeError);
    assert.throws(() => change().add(inside, 1), TypeError);
    assert.throws(() => change().unset(inside), TypeError);
    assert.throws(() => change().when(inside, { below: 1 }), TypeError);
  });
}

test("a change refuses an empty path", () => {
  assert.throws(() => change().set([], {}), TypeError);
});

const colliding: readonly [string, Path, Path][] = [
  ["the same path", ["sessions", "s1"], ["sessions", "s1"]],
  ["a path and what lies above it", ["sessions", "s1"], ["sessions"]],
  ["a path and what lies below it", ["sessions"], ["sessions", "s1", "seenAt"]],
];
for (const [name, one, other] of colliding) {
  test(`a change refuses two effects on ${name}`, () => {
    assert.throws(() => change().set(one, {}).unset(other), TypeError);
    assert.throws(() => change().set(one, {}).and(change().set(other, {})), TypeError);
  });
}

test("effects on neighbours do not collide, nor do paths that only begin with the same letters", () => {
  const built = change().set(["sessions", "s1"], {}).unset(["sessions", "s10"]).add(["session"], 1);

  assert.equal(built.effects.length, 3);
});

test("a change refuses a choice without branches, and a branch without conditions", () => {
  assert.throws(() => change().whenAny([]), TypeError);
  assert.throws(() => change().whenAny([change().set(["a"], 1)]), TypeError);
});

test("a change without effects is refused before MongoDB takes it for a replacement", () => {
  assert.throws(() => toMongo(change().when(["a"], { equals: 1 })), TypeError);
});

test("a builder's steps leave what they were built from as it was", () => {
  const base = change().when(["a"], { equals: 1 });

  base.set(["b"], 2).whenSame(["c"], undefined);

  assert.deepEqual([base.conditions.length, base.effects.length], [1, 0]);
});

test("what is applied leaves the record and the change as they were", () => {
  const record = { a: { b: 1 } };
  const value = { c: 1 };

  const applied = apply<object>(record, change().set(["a", "d"], value).add(["a", "b"], 1));
  value.c = 2;

  assert.deepEqual(record, { a: { b: 1 } });
  assert.deepEqual(applied, { a: { b: 2, d: { c: 1 } } });
});

/** The host's own model knows nothing of factors: a write through it would lose every path of ours. */
function hostUsers() {
  const schema = new Schema({ _id: String, name: String }, { versionKey: false });
  return database.connection.model(`User${randomUUID()}`, schema);
}

const places: readonly [string, () => Promise<Records>][] = [
  ["memory", () => Promise.resolve(memoryRecords())],
  [
    "a path that the host's mongoose model does not declare",
    async () => {
      const users = hostUsers();
      await users.create({ _id: "u1", name: "Alice" });
      return mongoRecords(users.collection, { at: "mfa" });
    },
  ],
];

for (const [place, open] of places) {
  test(`a record in ${place} that is not there yet is a valid, empty one`, async () => {
    const records = await open();

    const read = await records.read("u1");
    const charged = await records.charge("u1", change().add(["budgets", "second", "fails"], 1));

    assert.deepEqual(read, {});
    assert.deepEqual(charged, {});
    assert.deepEqual(await records.read("u1"), { budgets: { second: { fails: 1 } } });
  });

  test(`a charge in ${place} answers the record as it was before, and nothing where it does not hold`, async () => {
    const records = await open();
    const pay = change().when(["epoch"], { notAtLeast: 2 }).add(["epoch"], 1);

    const outcomes = [];
    for (let tries = 0; tries < 3; tries += 1) outcomes.push(await records.charge("u1", pay));

    assert.deepEqual(outcomes, [{}, { epoch: 1 }, null]);
  });

  test(`a commit in ${place} succeeds where it held, be it without visible effect`, async () => {
    const records = await open();
    const same = change().set(["epoch"], 1);

    const first = await records.commit("u1", same.whenSame(["epoch"], undefined));
    const again = await records.commit("u1", same.whenSame(["epoch"], 1));
    const late = await records.commit("u1", same.whenSame(["epoch"], undefined));

    assert.deepEqual([first, again, late], [true, true, false]);
  });

  test(`an impossible change to ${place} is a rejection and changes nothing`, async () => {
    const records = await open();
    await records.commit("u1", change().set(["state"], "active"));

    const impossible = change().set(["epoch"], 1).add(["state"], 1);
    await assert.rejects(records.commit("u1", impossible));
    await assert.rejects(records.charge("u1", impossible));

    assert.deepEqual(await records.read("u1"), { state: "active" });
  });

  test(`fifty charges at once in ${place} pay for as many as the budget allows`, async () => {
    const records = await open();
    const pay = change()
      .when(["budgets", "code", "fails"], { notAtLeast: 5 })
      .add(["budgets", "code", "fails"], 1);

    const charges = await Promise.all(Array.from({ length: 50 }, () => records.charge("u1", pay)));

    assert.equal(charges.filter((record) => record !== null).length, 5);
  });
}

test("records in a host's document leave the host's own fields alone and never show them", async () => {
  const users = hostUsers();
  await users.create({ _id: "u1", name: "Alice" });
  const records = mongoRecords(users.collection, { at: "mfa" });

  await records.commit("u1", change().set(["totp", "d1", "lastStep"], 5));

  const stored = await users.collection.findOne({});
  assert.deepEqual(stored, { _id: "u1", name: "Alice", mfa: { totp: { d1: { lastStep: 5 } } } });
  assert.deepEqual(await records.read("u1"), { totp: { d1: { lastStep: 5 } } });
});

test("a subject whom the host does not have has no record and can be charged for nothing", async () => {
  const records = mongoRecords(hostUsers().collection, { at: "mfa" });

  const read = await records.read("nobody");
  const charged = await records.charge("nobody", change().add(["epoch"], 1));
  const committed = await records.commit("nobody", change().add(["epoch"], 1));

  assert.deepEqual([read, charged, committed], [null, null, false]);
});

test("subjects find documents whose ids are of another type, and a subject that is no id is refused", async () => {
  const users = database.connection.model(`User${randomUUID()}`, new Schema({ name: String }));
  const { id } = (await users.create({ name: "Alice" })) as { id: string };
  const records = mongoRecords(users.collection, {
    at: "mfa",
    id: (subject) => new mongoose.Types.ObjectId(subject),
  });

  const committed = await records.commit(id, change().add(["epoch"], 1));

  assert.equal(committed, true);
  await assert.rejects(
    records.read("no id"),
    (error) => error instanceof AuthError && error.code === "invalid_input",
  );
});

test("records of two hosts in one collection are apart where every filter holds whose they are", async () => {
  const documents = database.connection.collection<{ _id: string; host: string }>("shared");
  await documents.insertOne({ _id: "u1", host: "one" });
  const other = mongoRecords(documents as never, { where: { host: "other" } });

  const outcomes = [
    await other.read("u1"),
    await other.charge("u1", change().add(["epoch"], 1)),
    await other.commit("u1", change().add(["epoch"], 1)),
  ];

  assert.deepEqual(outcomes, [null, null, false]);
});
