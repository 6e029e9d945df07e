import {
  entriesOf,
  type Entries,
  type FactorRecord,
  type PendingLogin,
  type Proofs,
  type SessionEntry,
} from "../account.ts";
import { change, type Change, type ChangeBuilder, type Path } from "../change.ts";
import { cleanLabel, type Context } from "../context.ts";
import type { Core, Progress, Session } from "../core.ts";
import { createHandle, writeHandle } from "../crypto/ticket.ts";
import { randomEntryId } from "../crypto/random.ts";
import {
  amrOf,
  authenticatedAt,
  levelOf,
  methodsOf,
  needsSecondFactor,
  requiresSecondFactor,
} from "../policy.ts";

/** Milliseconds that a login may wait for its second factor. */
const PENDING_LIVES = 5 * 60_000;
/** Tries that one pending login allows. */
export const TRIES = 5;
const MAX_PENDING = 10;
const MAX_SESSIONS = 30;

/** What a first factor established. */
export interface FirstFactor {
  readonly proofs: Proofs;
  /** What a foreign strategy states of itself (RFC 8176), space-separated. */
  readonly amr?: string;
}

/** A decided step of a login: what becomes true, and how far the login then is. */
export interface Step {
  readonly change: ChangeBuilder;
  readonly value: Progress;
  readonly witness: Path;
}

/**
 * The one gate behind every first factor, whoever checked it: a pending login where the account has a
 * second factor, else a session (MC-09).
 */
export function passGate(
  core: Core,
  { subject, record }: { subject: string; record: FactorRecord },
  first: FirstFactor,
  context: Context,
): Step {
  const lifetime = (context.lifetime ?? 0) * 1000 || core.policy.sessionLifetime;
  if (!needsSecondFactor(record)) {
    return openSession(core, { subject, record }, { ...first, lifetime }, context);
  }

  const now = core.now();
  const methods = methodsOf(record);
  const [preferred = "totp"] = methods;
  const { handle, stored } = createHandle(subject);
  const expiresAt = now + PENDING_LIVES;
  const pending: PendingLogin = { ...first, secret: stored, tries: 0, expiresAt, lifetime };
  const path = ["pending", handle.entry];
  return {
    change: change()
      .set(path, { ...pending })
      .and(makeRoom("pending", record, now)),
    value: {
      status: "pending",
      ticket: writeHandle(handle),
      accountId: subject,
      entry: handle.entry,
      methods,
      preferred,
      expiresAt: new Date(expiresAt),
    },
    witness: path,
  };
}

/** A session for everything that has been proved. */
export function openSession(
  core: Core,
  { subject, record }: { subject: string; record: FactorRecord },
  { proofs, amr, lifetime }: FirstFactor & { lifetime: number },
  context: Context,
): Step {
  const now = core.now();
  const id = randomEntryId();
  const entry: SessionEntry = {
    proofs,
    createdAt: now,
    seenAt: now,
    expiresAt: now + lifetime,
    label: cleanLabel(context.userAgent, 60),
    ip: cleanLabel(context.ip, 45),
    refresh: 0,
    ...(amr === undefined ? {} : { amr }),
  };
  const path = ["sessions", id];
  const session = describeSession(core, { subject, record, sessionId: id, entry });
  return {
    change: change()
      .set(path, { ...entry })
      .and(makeRoom("sessions", record, now)),
    value: {
      status: "complete",
      accountId: subject,
      name: nameOf(core, subject, record),
      session,
    },
    witness: path,
  };
}

/** Whether the account must have a second factor now and has none. */
export function mustEnrol(core: Core, subject: string, record: FactorRecord): boolean {
  if (needsSecondFactor(record)) return false;
  const account = core.describe(subject, record);
  return requiresSecondFactor(core.policy.secondFactor, account, core.now());
}

/** A stored session as hosts and wires are told of it. */
export function describeSession(
  core: Core,
  acting: { subject: string; record: FactorRecord; sessionId: string; entry: SessionEntry },
): Session {
  const { subject, record, sessionId, entry } = acting;
  const level = levelOf(entry, mustEnrol(core, subject, record), core.now());
  return {
    id: sessionId,
    level,
    amr: amrOf(entry.proofs, entry.amr),
    acr: level === "aal2" ? "aal2" : "aal1",
    authTime: new Date(authenticatedAt(entry.proofs)),
    createdAt: new Date(entry.createdAt),
    lastSeenAt: new Date(entry.seenAt),
    expiresAt: new Date(entry.expiresAt),
    label: entry.label,
    ip: entry.ip,
  };
}

/** Drop what has expired, then what was used longest ago, so that one more fits. */
function makeRoom(map: "pending" | "sessions", record: FactorRecord, now: number): Change {
  const entries: [string, { expiresAt: number; seenAt?: number }][] = entriesOf(
    record[map] as Entries<SessionEntry | PendingLogin> | undefined,
  );
  const live = entries
    .filter(([, { expiresAt }]) => expiresAt > now)
    .sort(([, one], [, other]) => usedAt(one) - usedAt(other));
  const keep = new Set(
    live.slice(-((map === "pending" ? MAX_PENDING : MAX_SESSIONS) - 1)).map(([id]) => id),
  );
  return entries
    .filter(([id]) => !keep.has(id))
    .reduce<ChangeBuilder>((room, [id]) => room.unset([map, id]), change());
}

function usedAt({ seenAt, expiresAt }: { expiresAt: number; seenAt?: number }): number {
  return seenAt ?? expiresAt;
}

/** What an account is called: the user name, else the address, else the id. */
export function nameOf(core: Core, subject: string, record: FactorRecord): string {
  const { username, email } = core.describe(subject, record);
  return username ?? email ?? subject;
}

/** LG-01: a session that begins is an event with its id. */
export function noteStart(
  core: Core,
  progress: Progress,
  { context, method }: { readonly context: Context; readonly method: string },
): Progress {
  if (progress.status === "complete") {
    const { accountId: account, session } = progress;
    core.audit.record({ type: "session_start", account, session: session.id, method }, context);
  }
  return progress;
}
