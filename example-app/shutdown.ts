import type { Server } from "node:http";
import type { Logger } from "pino";

/** Milliseconds that requests under way are given. */
const GRACE = 10_000;

/**
 * Stop on SIGTERM or SIGINT: take no more requests, finish those under way, then close what they used.
 * A second signal ends the process at once.
 */
export function stopOnSignals(server: Server, log: Logger, close: () => Promise<void>): void {
  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    log.info(`${signal}: stopping`);
    const late = setTimeout(() => {
      server.closeAllConnections();
    }, GRACE);
    server.close(() => {
      clearTimeout(late);
      setTimeout(() => process.exit(1), GRACE).unref();
      close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
    server.closeIdleConnections();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}
