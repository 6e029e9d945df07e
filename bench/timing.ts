/**
 * EN-02: whether the time of a refused login tells what is behind a name. Every sample is the first
 * contact with its name; samples of all states are interleaved. Fails where a median is off by a tenth
 * of a hash or more, or where one answer tells the state better than 0.6.
 */
import { createAuth } from "../lib/index.ts";
import { mongooseStore } from "../lib/store/mongoose.ts";
import { hasher, inTurns, options, password, tenant } from "./accounts.ts";
import { areaUnderCurve, openBenchDatabase, printTable, quantile, timed } from "./measure.ts";

const SAMPLES = 200;
const STATES = ["known", "unknown", "disabled", "no password"] as const;

const database = await openBenchDatabase("timing");
const auth = createAuth({ ...options, store: mongooseStore(database.connection) });
await auth.ready();
const calls = auth.tenant(tenant);
const passwordHash = await hasher.hash(password);
const nameOf = (state: string, at: number): string => `${state.replace(" ", "-")}-${at}`;

await inTurns(SAMPLES, 20, async (at) => {
  for (const state of ["known", "disabled", "no password"]) {
    const username = nameOf(state, at);
    const names = { username, email: `${username}@example.org` };
    const { id } = await calls.import(state === "no password" ? names : { ...names, passwordHash });
    if (state === "disabled") await calls.disable(id);
  }
});

const refused = async (work: Promise<unknown>): Promise<void> => {
  const granted = await work.then(
    () => true,
    () => false,
  );
  if (granted) throw new Error("a login succeeded");
};
/** In another order each time, so that no state is always behind the same other one. */
function shuffled<T>(values: readonly T[]): readonly T[] {
  return values
    .map((value) => ({ value, rank: Math.random() }))
    .sort((one, other) => one.rank - other.rank)
    .map(({ value }) => value);
}

function sample(state: string, name: string): Promise<number> {
  const typed = state === "disabled" ? password : "some other password entirely";
  return timed(() =>
    state === "hash"
      ? hasher.verify(passwordHash, typed)
      : refused(calls.login(name, { password: typed }, {})),
  );
}

const samples: Record<string, number[]> = {};
for (let at = -20; at < SAMPLES; at += 1) {
  for (const state of shuffled(["hash", ...STATES])) {
    const took = await sample(state, nameOf(at < 0 ? "warming" : state, at));
    if (at >= 0) (samples[state] ??= []).push(took);
  }
}

const known = samples.known ?? [];
const hash = quantile(samples.hash ?? [], 0.5);
const rows = STATES.map((state) => {
  const mine = samples[state] ?? [];
  const difference = quantile(mine, 0.5) - quantile(known, 0.5);
  return {
    state,
    "median ms": quantile(mine, 0.5),
    "p90 ms": quantile(mine, 0.9),
    "off by, % of a hash": (100 * difference) / hash,
    AUC: areaUnderCurve(mine, known),
  };
});
printTable(`A refused login, ${SAMPLES} of each; one hash takes ${hash.toFixed(2)} ms`, rows);
const telling = rows.filter(
  (row) => Math.abs(row["off by, % of a hash"]) >= 10 || Math.abs(row.AUC - 0.5) >= 0.1,
);
for (const { state } of telling) console.log(`\ntold apart: ${state}`);
if (telling.length > 0) process.exitCode = 1;
await auth.close();
await database.close();
