import assert from "node:assert/strict";
import { test } from "node:test";
import { listedRequirements, shownRequirements } from "./support/requirements.ts";

const listed = listedRequirements();
const shown = shownRequirements();

test("every requirement that SECURITY.md lists is told in words and has a test", () => {
  const bare = listed.filter(({ id, words }) => words === "" || !shown.has(id));

  assert.ok(listed.length > 50);
  assert.deepEqual(
    bare.map(({ id }) => id),
    [],
  );
});

test("every requirement that a test's title begins with is listed in SECURITY.md", () => {
  const known = new Set(listed.map(({ id }) => id));

  const unlisted = [...shown.keys()].filter((id) => !known.has(id));

  assert.deepEqual(unlisted, []);
});

test("SECURITY.md names the tests as they are (npx tsx test/support/requirements.ts --write)", () => {
  const stale = listed.filter(({ id, shown: written }) => written !== (shown.get(id) ?? ""));

  assert.deepEqual(
    stale.map(({ id }) => id),
    [],
  );
});
