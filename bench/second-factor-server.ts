import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { createAuth } from "../lib/index.ts";
import { problemOf } from "../lib/middleware/index.ts";
import { mongooseStore } from "../lib/store/mongoose.ts";
import { authFramework } from "../routers/auth-framework/index.ts";
import { BackupCodeStrategy } from "../strategies/backup-code.ts";
import { PasswordStrategy } from "../strategies/password.ts";
import { TotpStrategy } from "../strategies/totp.ts";
import { codeAt, enrolAccounts, hasher, options, password, tenant } from "./accounts.ts";
import { byHand, fillByHand, tokenByHand } from "./by-hand.ts";
import { openBenchDatabase, ROUNDS, type Job } from "./measure.ts";

/** The measured process: both apps, one database. `second-factor.ts` sends the requests and asks for the counts. */
export type Ask =
  { readonly jobs: Work; readonly of: Side; readonly round: number } | "counts" | "stop";
export type Side = "polyfactor" | "by hand";
export type Work = "code" | "code, password" | "password" | "bearer";

/** How many requests a round has. */
const COUNTS: Readonly<Record<Work, number>> = {
  code: 150,
  "code, password": 40,
  password: 40,
  bearer: 300,
};

const database = await openBenchDatabase("second-factor");
const store = mongooseStore(database.connection);
const accounts = await enrolAccounts(store, ROUNDS * (COUNTS.code + COUNTS["code, password"]));
await fillByHand(database.connection, accounts, await hasher.hash(password));
const auth = createAuth({ ...options, store });
const calls = auth.tenant(tenant);
const totp = new TotpStrategy(auth, { tenant });

const ours = express();
ours.use(
  authFramework({
    auth,
    tenant,
    strategies: [
      new PasswordStrategy(auth, { tenant }),
      totp,
      new BackupCodeStrategy(auth, { tenant }),
    ],
  }),
);
ours.post("/code", express.json(), async (req, res) => {
  try {
    const progress = await totp.attempt(req);
    if (progress.status !== "complete") throw new Error("not complete");
    const token = await calls.accessToken(progress.accountId, progress.session);
    res.json({ access_token: token });
  } catch (error) {
    const { status, body } = problemOf(error);
    res.status(status).json(body);
  }
});

async function jobs(work: Work, of: Side, round: number): Promise<readonly Job[]> {
  // A code is good once, so nobody gives a second one.
  const first = (work === "code, password" ? ROUNDS * COUNTS.code : 0) + round * COUNTS[work];
  const chosen = Array.from(
    { length: COUNTS[work] },
    (_, at) => accounts[(first + at) % accounts.length],
  ).filter((account) => account !== undefined);
  return Promise.all(
    chosen.map(async ({ id, username, secret }): Promise<Job> => {
      const mine = of === "polyfactor";
      const login = mine ? "/api/v1/auth/login" : "/login";
      const code = codeAt(secret, Date.now());
      if (work === "bearer") {
        const token = mine ? await ourToken(id) : await tokenByHand(id);
        return {
          method: "GET",
          path: mine ? "/api/v1/mfa/status" : "/status",
          token,
          status: 200,
        };
      }
      const body = { username, password };
      if (work === "password") return { method: "POST", path: login, body, status: 401 };
      const ticket = mine ? await ourTicket(id) : `${id}.p`;
      if (work === "code") {
        return { method: "POST", path: "/code", body: { ticket, code }, status: 200 };
      }
      const second = mine ? { challenge_id: `mfa_${ticket}`, mfa_code: code } : { ticket, code };
      return { method: "POST", path: login, body: { ...body, ...second }, status: 200 };
    }),
  );
}

async function ourTicket(id: string): Promise<string> {
  const begun = await calls.begin(id, {}, {});
  if (begun.status !== "pending") throw new Error("no second factor");
  return begun.ticket;
}

const tokens = new Map<string, Promise<string>>();

/** A token of the session in which the app was set up. */
function ourToken(id: string): Promise<string> {
  const made = tokens.get(id) ?? makeToken(id);
  tokens.set(id, made);
  return made;
}

async function makeToken(id: string): Promise<string> {
  const account = await store.tenant(tenant).accounts.read(id);
  const [sessionId = ""] = Object.keys(account?.sessions ?? {});
  const acting = await calls.findSession({ subject: id, sessionId }, {}, {});
  return calls.accessToken(id, calls.session(acting));
}

const servers = {
  polyfactor: createServer(ours),
  "by hand": createServer(byHand(database.connection)),
};
const ports: Record<string, number> = {};
for (const [side, server] of Object.entries(servers)) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ports[side] = (server.address() as AddressInfo).port;
}

async function answer(ask: Ask): Promise<unknown> {
  if (ask === "counts") {
    const { user, system } = process.cpuUsage();
    return { cpu: (user + system) / 1000, commands: database.commands() };
  }
  if (ask !== "stop") return jobs(ask.jobs, ask.of, ask.round);
  for (const server of Object.values(servers)) server.close();
  await auth.close();
  await database.close();
  process.disconnect();
  return undefined;
}

process.on("message", (ask: Ask) => {
  answer(ask).then(
    (reply) => process.connected && process.send?.(reply),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send?.(ports);
