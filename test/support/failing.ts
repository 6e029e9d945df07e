import type { TestContext } from "node:test";

/** The three ways in which a dependency can fail. */
export const failures = ["throws", "rejects", "never settles"] as const;

/** One of them. */
export type Failure = (typeof failures)[number];

/** A dependency that works until it is told to fail. */
export interface Breakable {
  /** When it has been asked since it was broken. */
  readonly asked: Promise<void>;
  break(failure: Failure): void;
  repair(): void;
  /** Puts itself before a function that answers with a promise. */
  around<Args extends unknown[], Result>(
    work: (...args: Args) => Promise<Result>,
  ): (...args: Args) => Promise<Result>;
}

/** A dependency that can be broken. */
export function createBreakable(): Breakable {
  let failure: Failure | undefined;
  let noteAsked = (): void => undefined;
  const asked = new Promise<void>((resolve) => (noteAsked = resolve));

  return {
    asked,
    break(how) {
      failure = how;
    },
    repair() {
      failure = undefined;
    },
    around:
      (work) =>
      (...args) => {
        if (failure === undefined) return work(...args);
        noteAsked();
        return fail(failure);
      },
  };
}

function fail(failure: Failure): Promise<never> {
  const error = new Error("a dependency failed");
  if (failure === "throws") throw error;
  return failure === "rejects" ? Promise.reject(error) : new Promise(() => undefined);
}

/** What nobody caught while the test ran. */
export function watchRejections(t: TestContext): unknown[] {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => {
    unhandled.push(reason);
  };
  process.on("unhandledRejection", note);
  t.after(() => process.off("unhandledRejection", note));
  return unhandled;
}

/** Waits until what is due has happened, rejections included. */
export async function settleDown(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}
