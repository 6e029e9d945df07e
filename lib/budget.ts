import type { Budget, BudgetName, FactorRecord } from "./account.ts";
import { change, type Change, type ChangeBuilder } from "./change.ts";

/** Attempts before a delay. More than the hashing slots, so that honest parallel logins lose none. */
const FREE = 5;
const SECOND = 1000;
const LONGEST = 900 * SECOND;
/** Failures after which the delay has reached its longest: 1, 2, 4 … 512, 900 s. */
const CAPPED = FREE + 10;
/** A charge later than this from now was made by a clock that was wrong: it delays nobody until then (FT-05). */
const AHEAD = 4 * LONGEST;

/** What one budget allows. */
interface Rule {
  /** Failures at which the authenticator is off until recovery or another class succeeds (63B §3.2.2). */
  readonly off?: number;
  readonly delayed: boolean;
}

const RULES: Readonly<Record<BudgetName, Rule>> = {
  password: { off: 100, delayed: true },
  second: { delayed: true },
  code: { off: 20, delayed: false },
  backup: { delayed: false },
  setup: { delayed: true },
};

/** Milliseconds that must lie between the last failure and the next attempt. */
function delayAfter(fails: number): number {
  if (fails < FREE) return 0;
  return fails >= CAPPED ? LONGEST : SECOND * 2 ** (fails - FREE);
}

/**
 * Pay for one attempt from each of these budgets, if every one of them allows it now (TH-02).
 * The delay table is spelled out as one branch a delay, so that the database does no arithmetic and
 * a changed table needs no migration.
 */
export function payFrom(names: readonly BudgetName[], now: number): ChangeBuilder {
  return names.reduce((paid, name) => paid.and(payOne(name, now)), change());
}

function payOne(name: BudgetName, now: number): Change {
  const { off, delayed } = RULES[name];
  const fails = ["budgets", name, "fails"];
  const lastAt = ["budgets", name, "lastAt"];
  const paid = change().add(fails, 1).set(lastAt, now);
  const open = off === undefined ? paid : paid.when(fails, { notAtLeast: off });
  if (!delayed) return open;

  const waiting = Array.from({ length: CAPPED - FREE }, (_, step) => FREE + step).map((count) =>
    change()
      .when(fails, { equals: count })
      .when(lastAt, { atMost: now - delayAfter(count) }),
  );
  return open.whenAny([
    change().when(fails, { notAtLeast: FREE }),
    ...waiting,
    change()
      .when(fails, { atLeast: CAPPED })
      .when(lastAt, { atMost: now - LONGEST }),
    change().when(lastAt, { above: now + AHEAD }),
  ]);
}

/** Seconds until one of these budgets allows an attempt again; 0 where all of them do. */
export function secondsUntilAllowed(
  { budgets = {} }: FactorRecord,
  names: readonly BudgetName[],
  now: number,
): number {
  return Math.max(0, ...names.map((name) => secondsFor(name, budgets[name] ?? {}, now)));
}

function secondsFor(name: BudgetName, { fails = 0, lastAt = 0 }: Budget, now: number): number {
  const { off, delayed } = RULES[name];
  // What is off answers as what is over budget: a stranger learns nothing from it.
  if (off !== undefined && fails >= off) return LONGEST / SECOND;
  if (lastAt > now + AHEAD) return 0;
  return delayed ? Math.max(0, Math.ceil((lastAt + delayAfter(fails) - now) / SECOND)) : 0;
}

/** Whether the charge that found this record used the last attempt before something gives. */
export function exhausts(
  { budgets = {} }: FactorRecord,
  name: BudgetName,
): "delayed" | "off" | undefined {
  const spent = (budgets[name]?.fails ?? 0) + 1;
  if (spent === RULES[name].off) return "off";
  return RULES[name].delayed && spent === FREE ? "delayed" : undefined;
}

/** Whether this budget's authenticator is switched off. */
export function isOff({ budgets = {} }: FactorRecord, name: BudgetName): boolean {
  return (budgets[name]?.fails ?? 0) >= (RULES[name].off ?? Infinity);
}

/** A success: its own budgets are fresh again, and nothing else is (TH-06). Set to 0, never minus one. */
export function refresh(names: readonly BudgetName[]): ChangeBuilder {
  return names.reduce<ChangeBuilder>(
    (fresh, name) => fresh.set(["budgets", name, "fails"], 0),
    change(),
  );
}

/** Give back what a fault of ours has cost (TH-03); never below zero, because a success may have come between. */
export function refund(names: readonly BudgetName[]): ChangeBuilder {
  return names.reduce<ChangeBuilder>(
    (given, name) =>
      given.when(["budgets", name, "fails"], { above: 0 }).add(["budgets", name, "fails"], -1),
    change(),
  );
}
