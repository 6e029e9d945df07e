import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { endProcess } from "../../example-app/running-process.ts";

const root = join(import.meta.dirname, "../..");

/** A process of its own, ended with the test. */
export interface Child {
  readonly pid: number;
  /** What it wrote so far, to either stream. */
  output(): string;
  /** Resolves when a line it writes matches; rejects when it ends before. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Hands it a value and waits for its answer. */
  ask(message: object): Promise<unknown>;
  signal(name: NodeJS.Signals): void;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Starts a TypeScript file of the project in a process of its own. */
export function startChild(
  t: TestContext,
  file: string,
  {
    env = {},
    imports = [],
    flags = [],
  }: {
    env?: NodeJS.ProcessEnv;
    imports?: readonly string[];
    /** Of Node.js. */
    flags?: readonly string[];
  } = {},
): Child {
  const preloaded = ["tsx", ...imports].flatMap((one) => ["--import", one]);
  const child = spawn(process.execPath, [...flags, ...preloaded, join(root, file)], {
    cwd: root,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      for (const listener of listeners) listener();
    });
  }
  const ended = once(child, "close").then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  const { pid } = child;
  assert.ok(pid, "the process was started");
  t.after(async () => {
    await endProcess(pid);
    await ended;
  });

  return {
    pid,
    ended,
    output: () => output,
    said(pattern) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          const found = pattern.exec(output);
          if (found === null) return;
          listeners.delete(look);
          resolve(found);
        };
        listeners.add(look);
        look();
        void ended.then(({ code }) => {
          reject(
            new Error(`ended with ${String(code)} before it said ${String(pattern)}:\n${output}`),
          );
        });
      });
    },
    async ask(message) {
      const answered = once(child, "message");
      child.send(message);
      const [answer] = (await answered) as [unknown];
      return answer;
    },
    signal(name) {
      child.kill(name);
    },
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
