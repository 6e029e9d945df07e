/** A clock that stands still until a test moves it. */
export interface TestClock {
  readonly clock: () => Date;
  /** Moves it; a negative number sets it back. */
  readonly advance: (ms: number) => void;
}

/** Far enough ahead that no TTL index of the server removes what a test stores. */
const noon = Date.UTC(2035, 4, 17, 12);

/** Hand `clock` to whatever asks for the time. */
export function testClock(start = noon): TestClock {
  let now = start;
  return {
    clock: () => new Date(now),
    advance(ms) {
      now += ms;
    },
  };
}
