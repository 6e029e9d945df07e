/** Where a value stands in a record: one segment a level, never a dotted string. */
export type Path = readonly string[];

/** What may be stored: no `null`, no arrays (maps keyed by id carry conditions, arrays do not). */
export type Stored = string | number | boolean | { readonly [key: string]: Stored };

/** What must hold at a path for a change to be applied. Numbers compare with numbers only. */
export type Test =
  | { readonly equals: string | number | boolean }
  | { readonly below: number }
  | { readonly above: number }
  | { readonly atLeast: number }
  | { readonly atMost: number }
  /** Absent, or not a number at or above this: a budget that is not there yet is a fresh one. */
  | { readonly notAtLeast: number }
  | { readonly present: boolean };

/** One condition of a change, or a choice between several groups of them. */
export type Condition =
  | { readonly path: Path; readonly test: Test }
  | { readonly anyOf: readonly (readonly Condition[])[] };

/** One effect of a change. `add` to an absent number starts at 0. */
export type Effect =
  | { readonly kind: "set"; readonly path: Path; readonly value: Stored }
  | { readonly kind: "add"; readonly path: Path; readonly by: number }
  | { readonly kind: "unset"; readonly path: Path };

/** Conditions and effects as data: applied whole where every condition holds, else not at all. */
export interface Change {
  readonly conditions: readonly Condition[];
  readonly effects: readonly Effect[];
}

/** A change under construction. Every method answers a new one. */
export interface ChangeBuilder extends Change {
  /** The test must hold at the path. */
  when(path: Path, test: Test): ChangeBuilder;
  /** Holds where at least one of the given changes' conditions hold; their effects are not taken. */
  whenAny(branches: readonly Change[]): ChangeBuilder;
  /** The value at `path` is still the one that was seen: equal, or still absent. */
  whenSame(path: Path, seen: string | number | boolean | undefined): ChangeBuilder;
  /** The value at the path becomes this. */
  set(path: Path, value: Stored | object): ChangeBuilder;
  /** The number at the path grows by this; an absent one starts at 0. */
  add(path: Path, by: number): ChangeBuilder;
  /** What is at the path goes. */
  unset(path: Path): ChangeBuilder;
  /** Conditions and effects of both. */
  and(other: Change): ChangeBuilder;
}

// A segment may come from a client (a credential id may spell `toString`): ours are base64url or a field name.
const SEGMENT = /^[A-Za-z0-9_-]{1,64}$/;
const INHERITED = new Set(["__proto__", "constructor", "prototype"]);

/**
 * Start a change.
 *
 * @throws TypeError (from its methods) for a segment that is not an id of ours, a value that cannot be
 * stored (`undefined`, `null`, arrays, numbers that are not finite), and effects whose paths collide.
 */
export function change(): ChangeBuilder {
  return build([], []);
}

function build(conditions: readonly Condition[], effects: readonly Effect[]): ChangeBuilder {
  const affect = (effect: Effect): ChangeBuilder => {
    refuseCollision(effects, checked(effect.path));
    return build(conditions, [...effects, effect]);
  };
  const demand = (...more: readonly Condition[]): ChangeBuilder =>
    build([...conditions, ...more], effects);
  const when = (path: Path, test: Test): ChangeBuilder => {
    refuseUnstorable(Object.values(test)[0]);
    return demand({ path: checked(path), test });
  };

  return {
    conditions,
    effects,
    when,
    whenAny(branches) {
      const anyOf = branches.map((branch) => branch.conditions);
      if (anyOf.length === 0 || anyOf.some((branch) => branch.length === 0)) {
        throw new TypeError("change: a choice between nothing");
      }
      return demand({ anyOf });
    },
    whenSame: (path, seen) =>
      when(path, seen === undefined ? { present: false } : { equals: seen }),
    set(path, value) {
      refuseUnstorable(value);
      return affect({ kind: "set", path, value: value as Stored });
    },
    add(path, by) {
      refuseUnstorable(by);
      return affect({ kind: "add", path, by });
    },
    unset: (path) => affect({ kind: "unset", path }),
    and: (other) =>
      other.effects.reduce(
        (joined, effect) => {
          refuseCollision(joined.effects, effect.path);
          return build(joined.conditions, [...joined.effects, effect]);
        },
        demand(...other.conditions),
      ),
  };
}

function checked(path: Path): Path {
  if (path.length === 0) throw new TypeError("change: an empty path");
  for (const segment of path) {
    if (!SEGMENT.test(segment) || INHERITED.has(segment)) {
      throw new TypeError("change: a path segment that is not an id");
    }
  }
  return path;
}

function refuseCollision(effects: readonly Effect[], path: Path): void {
  for (const { path: other } of effects) {
    const shared = Math.min(path.length, other.length);
    if (path.slice(0, shared).every((segment, at) => segment === other[at])) {
      throw new TypeError(`change: two effects collide at ${path.join(".")}`);
    }
  }
}

function refuseUnstorable(value: unknown): void {
  if (typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number" && Number.isFinite(value)) return;
  if (typeof value !== "object" || value === null || !isPlain(value)) {
    throw new TypeError("change: a value that cannot be stored");
  }
  for (const [key, inner] of Object.entries(value)) {
    checked([key]);
    refuseUnstorable(inner);
  }
}

/** Not an array, a date, bytes: those compare and serialise by rules of their own. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
