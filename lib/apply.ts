import type { Change, Condition, Effect, Path, Stored, Test } from "./change.ts";

interface Tree {
  [key: string]: Stored;
}

/**
 * The change applied to a record, for stores that have only compare-and-swap (Redis, SQL, memory).
 * Pure: answers a new record, or `null` where a condition does not hold. A record that is not there
 * yet (`undefined`) is a valid, empty one.
 *
 * @throws TypeError where an effect meets a value of the wrong kind (adding to a string), as MongoDB refuses it.
 */
export function apply<R extends object>(record: R | undefined, change: Change): R | null {
  const before = (record ?? {}) as Tree;
  if (!allows(before, change)) return null;

  const after = structuredClone(before);
  for (const effect of change.effects) perform(after, effect);
  return after as R;
}

/** Whether every condition of the change holds on the record. */
export function allows(record: object, { conditions }: Change): boolean {
  return conditions.every((condition) => holds(record as Tree, condition));
}

function holds(record: Tree, condition: Condition): boolean {
  if ("anyOf" in condition) {
    return condition.anyOf.some((branch) => branch.every((inner) => holds(record, inner)));
  }
  return passes(valueAt(record, condition.path), condition.test);
}

function passes(value: Stored | undefined, test: Test): boolean {
  if ("equals" in test) return value === test.equals;
  if ("present" in test) return (value !== undefined) === test.present;
  if ("notAtLeast" in test) return !(typeof value === "number" && value >= test.notAtLeast);
  if (typeof value !== "number") return false;
  if ("below" in test) return value < test.below;
  if ("above" in test) return value > test.above;
  if ("atLeast" in test) return value >= test.atLeast;
  return value <= test.atMost;
}

function valueAt(record: Tree, path: Path): Stored | undefined {
  let value: Stored | undefined = record;
  for (const segment of path) {
    if (typeof value !== "object" || !Object.hasOwn(value, segment)) return undefined;
    value = value[segment];
  }
  return value;
}

function perform(record: Tree, effect: Effect): void {
  const last = effect.path[effect.path.length - 1] ?? "";
  const parent = parentOf(record, effect);
  if (parent === undefined) return;
  if (effect.kind === "unset") {
    // eslint-disable-next-line @typescript-eslint/no-dynamic-delete -- a map keyed by id, cloned above
    delete parent[last];
    return;
  }
  if (effect.kind === "set") {
    parent[last] = structuredClone(effect.value);
    return;
  }

  const value = Object.hasOwn(parent, last) ? parent[last] : 0;
  if (typeof value !== "number") throw new TypeError("apply: add to a value that is no number");
  parent[last] = value + effect.by;
}

/** The map that holds the last segment; made on the way, except for an `unset`, which then has nothing to do. */
function parentOf(record: Tree, { kind, path }: Effect): Tree | undefined {
  let parent: Tree = record;
  for (const segment of path.slice(0, -1)) {
    const inner: Stored | undefined = Object.hasOwn(parent, segment) ? parent[segment] : undefined;
    if (inner === undefined) {
      if (kind === "unset") return undefined;
      parent = parent[segment] = {};
    } else if (typeof inner === "object") {
      parent = inner;
    } else if (kind === "unset") {
      return undefined;
    } else {
      throw new TypeError("apply: a path leads through a value that is no map");
    }
  }
  return parent;
}
