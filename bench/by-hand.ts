import { createHash, randomBytes } from "node:crypto";
import express, { type Express, type Response } from "express";
import { jwtVerify, SignJWT } from "jose";
import type { Connection } from "mongoose";
import { ScureBase32Plugin, verifySync } from "otplib";
import { hasher } from "./accounts.ts";

/** A user as somebody would store one for this measurement alone. */
export interface HandUser {
  readonly _id: string;
  readonly name: string;
  readonly hash: string;
  readonly secret: string;
  readonly lastStep: number;
  readonly pending: Readonly<Record<string, { until: number; tries: number }>>;
  readonly sessions: Readonly<Record<string, number>>;
}

const key = new TextEncoder().encode("a key for measurements that is long enough for one");
const majority = { writeConcern: { w: "majority" } } as const;
const base32 = new ScureBase32Plugin();

/**
 * What one would write by hand with the same writes, hash and signature, and without the rest: no
 * budgets, no delay, no audit, no sealed seeds, no levels, no schema.
 */
export function byHand(connection: Connection): Express {
  const users = connection.collection<HandUser>("by_hand_users");
  const names = connection.collection<{ _id: string; user: string }>("by_hand_names");
  const app = express();
  app.use(express.json());

  const token = (sub: string, sid: string): Promise<string> =>
    new SignJWT({ sub, sid })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1h")
      .sign(key);
  const finish = async (
    { ticket = "", code = "", password }: Record<string, string | undefined>,
    res: Response,
  ): Promise<void> => {
    const [id = "", entry = ""] = ticket.split(".");
    const now = Date.now();
    const user = await users.findOneAndUpdate(
      { _id: id, [`pending.${entry}.until`]: { $gt: now }, [`pending.${entry}.tries`]: { $lt: 5 } },
      { $inc: { [`pending.${entry}.tries`]: 1 } },
      { ...majority, returnDocument: "before", includeResultMetadata: false },
    );
    const right = password === undefined || (await hasher.verify(user?.hash, password));
    const check = verifySync({
      strategy: "totp",
      secret: base32.decode(user?.secret ?? ""),
      token: code,
      epochTolerance: 30,
    });
    const step = check.valid && "timeStep" in check ? check.timeStep : -1;
    const session = randomBytes(9).toString("base64url");
    const { matchedCount } = await users.updateOne(
      { _id: id, lastStep: { $lt: step }, [`pending.${entry}`]: { $exists: true } },
      {
        $set: { lastStep: step, [`sessions.${session}`]: now },
        $unset: { [`pending.${entry}`]: "" },
      },
      majority,
    );
    if (!right || matchedCount !== 1) res.status(401).json({ error: "wrong" });
    else res.json({ access_token: await token(id, session) });
  };

  app.post("/code", (req, res) => finish(req.body as Record<string, string>, res));
  app.post("/login", async (req, res) => {
    const body = req.body as Record<string, string | undefined>;
    if (body.ticket !== undefined) {
      await finish(body, res);
      return;
    }
    const found = await names.findOneAndUpdate(
      {
        _id: createHash("sha256")
          .update(body.username ?? "")
          .digest("base64url"),
      },
      { $setOnInsert: { user: "" } },
      { ...majority, upsert: true, returnDocument: "after", includeResultMetadata: false },
    );
    const id = found?.user ?? "";
    const user = await users.findOneAndUpdate(
      { _id: id },
      { $inc: { "budget.fails": 1 } },
      { ...majority, returnDocument: "before", includeResultMetadata: false },
    );
    if (!(await hasher.verify(user?.hash, body.password ?? ""))) {
      res.status(401).json({ error: "wrong" });
      return;
    }
    const entry = randomBytes(9).toString("base64url");
    const pending = { until: Date.now() + 300_000, tries: 0 };
    const effects = { $set: { [`pending.${entry}`]: pending, "budget.fails": 0 } };
    await users.updateOne({ _id: id }, effects, majority);
    res.status(401).json({ ticket: `${id}.${entry}` });
  });
  app.get("/status", async (req, res) => {
    const { payload } = await jwtVerify(req.headers.authorization?.slice(7) ?? "", key);
    const user = await users.findOne(
      { _id: payload.sub ?? "" },
      { readConcern: { level: "majority" } },
    );
    const live = user?.sessions[String(payload.sid)] !== undefined;
    res.status(live ? 200 : 401).json({ enabled: user?.secret !== undefined });
  });
  return app;
}

/** The same accounts, stored its way. */
export async function fillByHand(
  connection: Connection,
  accounts: readonly { readonly id: string; readonly username: string; readonly secret: string }[],
  hash: string,
): Promise<void> {
  const users = accounts.map(({ id, username, secret }) => ({
    ...{ _id: id, name: username, hash, secret, lastStep: -1 },
    ...{ pending: { p: { until: Date.now() + 300_000, tries: 0 } }, sessions: { s: Date.now() } },
  }));
  await connection.collection<HandUser>("by_hand_users").insertMany(users, majority);
  const names = accounts.map(({ id, username }) => ({
    _id: createHash("sha256").update(username).digest("base64url"),
    user: id,
  }));
  await connection
    .collection<{ _id: string; user: string }>("by_hand_names")
    .insertMany(names, majority);
}

/** A token of the session that `fillByHand` gives everybody. */
export function tokenByHand(id: string): Promise<string> {
  return new SignJWT({ sub: id, sid: "s" })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("1h")
    .sign(key);
}
