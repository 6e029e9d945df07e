import assert from "node:assert/strict";
import {
  createFactors,
  memoryRecords,
  type Acting,
  type Factors,
  type FactorsOptions,
  type Progress,
  type Records,
  type StandaloneFactors,
} from "../../lib/index.ts";
import { browser, testKeys, totpCode } from "./auth.ts";
import { testClock, type TestClock } from "./clock.ts";
import { countingHasher } from "./hasher.ts";

/** Factors on a host's own users, with a clock that stands still. */
export interface OpenedFactors {
  readonly factors: StandaloneFactors;
  readonly clock: TestClock;
}

/** What the host's users type. */
export const hostPassword = "nine slow barges under the bridge";

/** Opens factors as a host would; `find` knows the names it is given. */
export function openFactors(
  records: Records = memoryRecords(),
  overrides: Partial<FactorsOptions> = {},
): OpenedFactors {
  const clock = testClock();
  const factors = createFactors({
    records,
    keys: testKeys,
    issuer: "Example",
    hashing: { hasher: countingHasher() },
    throttle: { limit: 1_000_000 },
    clock: clock.clock,
    ...overrides,
  });
  return { factors, clock };
}

/** Whoever acts in the session of a complete login. */
export async function actingOn(factors: Factors, progress: Progress): Promise<Acting> {
  assert.ok(progress.status === "complete", "the login is not complete");
  const named = { subject: progress.accountId, sessionId: progress.session.id };
  return factors.findSession(named, { level: "enrol" }, browser);
}

/** A host's user with an authenticator app and backup codes, whose current code is unspent. */
export interface EnrolledUser {
  readonly subject: string;
  readonly secret: string;
  readonly backupCodes: readonly string[];
  /** The session in which they were set up. */
  readonly acting: Acting;
}

/** Gives a user of the host's an authenticator app and backup codes. */
export async function enrolUser(
  { factors, clock }: OpenedFactors,
  subject: string,
): Promise<EnrolledUser> {
  const progress = await factors.begin(subject, { amr: ["pwd"] }, browser);
  const acting = await actingOn(factors, progress);
  const { secret, backupCodes = [] } = await factors.enrolTotp(
    acting,
    { backupCodes: "long" },
    browser,
  );
  const ready = await actingOn(factors, progress);
  await factors.confirmTotp(ready, { code: totpCode(secret, clock) }, browser);
  clock.advance(30_000);
  return { subject, secret, backupCodes, acting: await actingOn(factors, progress) };
}
