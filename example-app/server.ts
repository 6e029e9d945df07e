import express from "express";
import mongoose from "mongoose";
import { pino } from "pino";
import { createAuth } from "polyfactor";
import { smtpDelivery } from "polyfactor/delivery/smtp";
import { authFramework } from "polyfactor/routers/auth-framework";
import { mongooseStore } from "polyfactor/store/mongoose";
import { BackupCodeStrategy } from "polyfactor/strategies/backup-code";
import { PasswordStrategy } from "polyfactor/strategies/password";
import { TotpStrategy } from "polyfactor/strategies/totp";
import { readConfig } from "./config.ts";
import { namesDatabase, startDatabase } from "./database.ts";
import { createOutbox } from "./outbox.ts";
import { pages } from "./pages.ts";
import { stopOnSignals } from "./shutdown.ts";

const log = pino({ redact: ["*.password", "*.token", "*.secret", "req.headers.authorization"] });
const config = readConfig(process.env, (line) => {
  log.warn(line);
});
const database = await startDatabase({
  dataDirectory: `${config.dataDirectory}/mongo`,
  log: (line) => {
    log.info(line);
  },
});
const connection = await mongoose
  .createConnection(database.uri, {
    ...(namesDatabase(database.uri) ? {} : { dbName: "polyfactor" }),
    serverSelectionTimeoutMS: 3000,
    waitQueueTimeoutMS: 2000,
    bufferCommands: false,
  })
  .asPromise();

const outbox = createOutbox();
const tenant = "acme";
const auth = createAuth({
  store: mongooseStore(connection),
  keys: config.keys,
  issuer: "polyfactor example",
  publicUrl: config.publicUrl,
  delivery: config.smtpUrl
    ? smtpDelivery({ url: config.smtpUrl, from: config.smtpFrom })
    : outbox.delivery,
});
await auth.ready();

const app = express();
app.disable("x-powered-by");
app.set("trust proxy", config.trustProxy);
app.use((req, res, next) => {
  const began = performance.now();
  res.on("finish", () => {
    // The path alone: a query may hold a token.
    const ms = Math.round(performance.now() - began);
    log.info({ method: req.method, path: req.path, status: res.statusCode, ms });
  });
  next();
});
app.get("/healthz", (_req, res) => {
  const up = connection.readyState === mongoose.ConnectionStates.connected;
  res.status(up ? 200 : 503).json({ status: up ? "ok" : "database unreachable" });
});
app.use(
  authFramework({
    auth,
    tenant,
    strategies: [
      new PasswordStrategy(auth, { tenant }),
      new TotpStrategy(auth, { tenant }),
      new BackupCodeStrategy(auth, { tenant }),
    ],
    onFault: (fault) => {
      log.error({ fault: fault instanceof Error ? fault.stack : "unknown" }, "a request failed");
    },
  }),
);
app.use(pages(auth, [tenant], express.json({ limit: "4kb" })));
if (config.outbox) app.use(outbox.router);
app.use((_req, res) => {
  res.status(404).json({ error: "not found" });
});
// Express knows an error handler by its four arguments. Its own would log whole errors, bodies included.
app.use(((error: { status?: unknown }, _req, res, next) => {
  const status = typeof error.status === "number" && error.status < 500 ? error.status : 500;
  if (status === 500) log.error("a request failed");
  if (res.headersSent) next(error);
  else res.status(status).json({ error: status === 500 ? "internal error" : "bad request" });
}) satisfies express.ErrorRequestHandler);

const server = app.listen(config.port, config.host, (error) => {
  if (error !== undefined) throw error;
  process.stdout.write(`polyfactor example: ${config.publicUrl}\n`);
});
server.requestTimeout = 30_000;
server.headersTimeout = 10_000;
stopOnSignals(server, log, async () => {
  await auth.close();
  await connection.close();
  await database.stop();
});
