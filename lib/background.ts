/** Work that an answer does not wait for: mail, mostly (EN-03). */
export interface Background {
  /** Start the work once there is room. Its failure is reported, never thrown. */
  run(work: () => Promise<void>): void;
  /** When nothing is left to do. */
  idle(): Promise<void>;
}

/** Work that may wait; more is dropped and reported. */
const CAPACITY = 1000;

/** At most `width` pieces of work at once, the rest in order. */
export function createBackground(onFault: (fault: unknown) => void, width = 8): Background {
  const waiting: (() => Promise<void>)[] = [];
  const idlers: (() => void)[] = [];
  let running = 0;

  const next = (): void => {
    const work = running < width ? waiting.shift() : undefined;
    if (work === undefined) {
      if (running === 0) for (const idler of idlers.splice(0)) idler();
      return;
    }
    running += 1;
    void Promise.resolve()
      .then(work)
      .catch(onFault)
      .finally(() => {
        running -= 1;
        next();
      });
  };

  return {
    run(work) {
      if (waiting.length >= CAPACITY) {
        onFault(new Error("background: too much is waiting"));
        return;
      }
      waiting.push(work);
      next();
    },
    idle: () =>
      running === 0 && waiting.length === 0
        ? Promise.resolve()
        : new Promise((resolve) => {
            idlers.push(resolve);
          }),
  };
}
