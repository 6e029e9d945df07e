import type { AddressInfo } from "node:net";
import express from "express";
import mongoose from "mongoose";
import { createAuth } from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import { createOutbox, testKeys } from "./auth.ts";
import { routerOf } from "./auth-framework.ts";
import { quickHasher } from "./hasher.ts";

// An app in a process of its own, on a database that others use as well. Its parent moves its clock.
const { MONGODB_URI: uri = "", MONGODB_NAME: dbName = "", CLOCK_SKEW: skew = "0" } = process.env;
let ahead = Number(skew);

const connection = await mongoose
  .createConnection(uri, { dbName, serverSelectionTimeoutMS: 3000 })
  .asPromise();
const auth = createAuth({
  store: mongooseStore(connection),
  keys: testKeys,
  issuer: "Example",
  publicUrl: "https://login.example.org",
  delivery: createOutbox(),
  hashing: { hasher: quickHasher() },
  throttle: { limit: 1_000_000 },
  clock: () => new Date(Date.now() + ahead),
});
await auth.ready();

process.on("message", (message: { advance?: number }) => {
  ahead += message.advance ?? 0;
  process.send?.({ ahead });
});

const app = express();
app.use(routerOf(auth));
const server = app.listen(0, "127.0.0.1", () => {
  process.stdout.write(`listening on ${(server.address() as AddressInfo).port}\n`);
});
