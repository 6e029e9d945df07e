import type { Change, Condition, Effect, Path, Test } from "../change.ts";

/** A filter and an update for MongoDB's `updateOne` and `findOneAndUpdate`; the caller adds `_id`. */
export interface MongoChange {
  readonly filter: Record<string, unknown>;
  readonly update: Partial<Record<"$set" | "$inc" | "$unset", Record<string, unknown>>>;
}

/**
 * The change as MongoDB says it.
 *
 * `at` is the dotted path below which the record lies. @default the document itself
 *
 * @throws TypeError for a change without effects, which MongoDB would take for a replacement.
 */
export function toMongo(change: Change, { at = "" }: { readonly at?: string } = {}): MongoChange {
  if (change.effects.length === 0) throw new TypeError("toMongo: a change without effects");
  const place = (path: Path): string => (at === "" ? path.join(".") : `${at}.${path.join(".")}`);
  const conditions = change.conditions.map((condition) => filterOf(condition, place));
  const update: MongoChange["update"] = {};
  for (const effect of change.effects) {
    const [operator, value] = operationOf(effect);
    update[operator] = { ...update[operator], [place(effect.path)]: value };
  }

  return { filter: conditions.length === 0 ? {} : { $and: conditions }, update };
}

function operationOf(effect: Effect): ["$set" | "$inc" | "$unset", unknown] {
  if (effect.kind === "set") return ["$set", effect.value];
  return effect.kind === "add" ? ["$inc", effect.by] : ["$unset", ""];
}

function filterOf(condition: Condition, place: (path: Path) => string): Record<string, unknown> {
  if ("anyOf" in condition) {
    return {
      $or: condition.anyOf.map((branch) => ({
        $and: branch.map((inner) => filterOf(inner, place)),
      })),
    };
  }
  return { [place(condition.path)]: operatorOf(condition.test) };
}

function operatorOf(test: Test): Record<string, unknown> {
  if ("equals" in test) return { $eq: test.equals };
  if ("present" in test) return { $exists: test.present };
  // `$lt` alone misses an absent field.
  if ("notAtLeast" in test) return { $not: { $gte: test.notAtLeast } };
  if ("below" in test) return { $lt: test.below };
  if ("above" in test) return { $gt: test.above };
  if ("atLeast" in test) return { $gte: test.atLeast };
  return { $lte: test.atMost };
}
