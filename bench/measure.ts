import { mkdtemp, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import mongoose, { type Connection } from "mongoose";
import { startDatabase } from "../example-app/database.ts";

/** An empty database that counts its commands. */
export interface BenchDatabase {
  readonly connection: Connection;
  /** Commands sent so far, without those of the driver's own. */
  commands(): number;
  close(): Promise<void>;
}

const HOUSEKEEPING = new Set(["hello", "ping", "endSessions", "createIndexes", "listIndexes"]);

/** Starts a server, or takes the one at `MONGODB_URI`, and drops its database at the end. */
export async function openBenchDatabase(name: string): Promise<BenchDatabase> {
  const dataDirectory = await mkdtemp(join(tmpdir(), "polyfactor-bench-"));
  const server = await startDatabase({ dataDirectory, log: () => undefined });
  const options = { dbName: `polyfactor-bench-${name}-${Date.now()}`, monitorCommands: true };
  const connection = await mongoose.createConnection(server.uri, options).asPromise();
  let count = 0;
  connection.getClient().on("commandStarted", ({ commandName }) => {
    if (!HOUSEKEEPING.has(commandName)) count += 1;
  });
  return {
    connection,
    commands: () => count,
    async close() {
      await connection.dropDatabase();
      await connection.close();
      await server.stop();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** Rounds in which two sides take turns, so that both have the machine's good and bad moments. */
export const ROUNDS = 4;

/** A request to be made. */
export interface Job {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
  /** The status that shows that the work was done. */
  readonly status: number;
}

/** Makes the requests, so many at a time; milliseconds that each took, and all of them. */
export async function drive(
  port: number,
  jobs: readonly Job[],
  concurrency: number,
): Promise<{ readonly total: number; readonly each: readonly number[] }> {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  const each: number[] = [];
  const waiting = [...jobs];
  const began = performance.now();
  const work = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const start = performance.now();
      const status = await send(agent, port, job);
      each.push(performance.now() - start);
      if (status !== job.status) throw new Error(`${job.path} answered ${status}`);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  agent.destroy();
  return { total: performance.now() - began, each };
}

function send(agent: Agent, port: number, { method, path, body, token }: Job): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request({ agent, port, host: "127.0.0.1", method, path }, (answer) => {
      answer.resume().on("end", () => {
        resolve(answer.statusCode ?? 0);
      });
    });
    sent.on("error", reject);
    if (token !== undefined) sent.setHeader("Authorization", `Bearer ${token}`);
    if (body !== undefined) sent.setHeader("Content-Type", "application/json");
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Milliseconds that one piece of work takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** The value below which this share of the values lies. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
}

/**
 * How well one value tells which of two samples it is from: the chance that a random one of the first
 * is above a random one of the second. 0.5 tells nothing, 0 or 1 everything.
 */
export function areaUnderCurve(one: readonly number[], other: readonly number[]): number {
  let above = 0;
  for (const left of one) {
    for (const right of other) above += left > right ? 1 : left === right ? 0.5 : 0;
  }
  return above / (one.length * other.length);
}

/** Prints rows under a title; numbers with two digits behind the point. */
export function printTable(
  title: string,
  rows: readonly Readonly<Record<string, unknown>>[],
): void {
  const heads = Object.keys(rows[0] ?? {});
  const cells = rows.map((row) =>
    heads.map((head) => {
      const value = row[head];
      return typeof value === "number" ? value.toFixed(2) : String(value);
    }),
  );
  const widths = heads.map((head, at) =>
    Math.max(head.length, ...cells.map((row) => row[at]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join("  ");
  console.log(`\n${title}\n`);
  for (const row of [heads, ...cells]) console.log(line(row));
}
