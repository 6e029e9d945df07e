/** What a login costs through the library, beside routes written by hand with the same writes. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { drive, printTable, quantile, ROUNDS, type Job } from "./measure.ts";
import type { Ask, Side, Work } from "./second-factor-server.ts";

const CONCURRENCY = 50;
const WORK: readonly Work[] = ["code", "code, password", "password", "bearer"];

const server = fork(join(import.meta.dirname, "second-factor-server.ts"), {
  execArgv: ["--import", import.meta.resolve("tsx")],
});
server.on("exit", (code) => {
  if (code !== 0) process.exit(1);
});

async function ask<T>(question: Ask): Promise<T> {
  const answer = once(server, "message");
  server.send(question);
  return ((await answer) as [T])[0];
}

interface Counts {
  readonly cpu: number;
  readonly commands: number;
}

interface Measured extends Counts {
  readonly total: number;
  readonly each: readonly number[];
}

async function measure(work: Work, of: Side, round: number): Promise<Measured> {
  const jobs = await ask<readonly Job[]>({ jobs: work, of, round });
  const before = await ask<Counts>("counts");
  const { total, each } = await drive(ports[of], jobs, CONCURRENCY);
  const after = await ask<Counts>("counts");
  return { total, each, cpu: after.cpu - before.cpu, commands: after.commands - before.commands };
}

/** The figures of one side over all rounds. */
function figures(rounds: readonly Measured[]): Readonly<Record<string, number>> {
  const each = rounds.flatMap((round) => round.each);
  const sum = (of: (round: Measured) => number): number =>
    rounds.reduce((total, round) => total + of(round), 0);
  return {
    "ops/s": (each.length * 1000) / sum(({ total }) => total),
    "median ms": quantile(each, 0.5),
    "CPU ms/op": sum(({ cpu }) => cpu) / each.length,
    "commands/op": sum(({ commands }) => commands) / each.length,
  };
}

const [ports] = (await once(server, "message")) as [Record<Side, number>];
const SIDES = ["polyfactor", "by hand"] as const;
// Not counted: both sides are compiled by it.
for (const side of SIDES) await measure("bearer", side, 0);

const rows = [];
const ratios = [];
for (const work of WORK) {
  const measured: Record<Side, Measured[]> = { polyfactor: [], "by hand": [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const side of round % 2 === 0 ? SIDES : SIDES.toReversed()) {
      measured[side].push(await measure(work, side, round));
    }
  }
  const [ours, hand] = [figures(measured.polyfactor), figures(measured["by hand"])];
  rows.push({ work: `${work}, polyfactor`, ...ours }, { work: `${work}, by hand`, ...hand });
  const ratio = Object.entries(ours).map(([name, value]) => [name, value / (hand[name] ?? NaN)]);
  ratios.push({ work, ...(Object.fromEntries(ratio) as object) });
}
printTable(`${CONCURRENCY} at a time`, rows);
printTable("polyfactor : by hand", ratios);
server.send("stop");
