import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startDatabase, type Database } from "../../example-app/database.ts";

/** Tells the test files of one run the address of the server they share. */
export const sharedServerVariable = "POLYFACTOR_TEST_MONGODB_URI";

/** Starts a server that accepts test commands, on a folder that goes when it stops. */
export async function startTestServer(): Promise<Database> {
  const dataDirectory = await mkdtemp(join(tmpdir(), "polyfactor-test-"));
  const remove = () => rm(dataDirectory, { recursive: true, force: true });
  try {
    const server = await startDatabase({ dataDirectory, testCommands: true });
    return { ...server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}
