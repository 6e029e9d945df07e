import { cleanLabel, type Context } from "./context.ts";
import { randomId } from "./crypto/random.ts";
import { callOut } from "./deadline.ts";

/** What happened, as the audit trail names it (LG-01). */
export type AuditType =
  | "login"
  | "second_factor"
  | "step_up"
  | "session_start"
  | "session_end"
  | "token_refresh"
  | "refresh_reuse"
  | "registration"
  | "password_change"
  | "email_verification_sent"
  | "email_verified"
  | "email_change_requested"
  | "profile_change"
  | "enrolment_begin"
  | "factor_added"
  | "factor_removed"
  | "backup_codes_replaced"
  | "backup_code_used"
  | "budget_exhausted"
  | "limit_hit"
  | "unlock"
  | "administration"
  | "delivery_failed"
  | "request_refused"
  | "fault";

/** One line of the audit trail. Holds no password, code, token, full address or key (LG-02). */
export interface AuditEvent {
  /** Made when the event is queued, so that a batch written twice is stored once. */
  readonly id: string;
  /** UTC. */
  readonly at: Date;
  readonly type: AuditType;
  readonly outcome: "success" | "refused" | "unknown";
  readonly tenant: string;
  readonly account?: string;
  /** The key of the name that was tried, where no account is known: a digest, never the name. */
  readonly name?: string;
  readonly session?: string;
  readonly method?: string;
  readonly reason?: string;
  readonly ip?: string;
  readonly userAgent?: string;
  readonly requestId?: string;
}

/** What a flow says of an event; the rest is put in here. */
export interface AuditEntry {
  readonly type: AuditType;
  readonly outcome?: AuditEvent["outcome"];
  readonly account?: string;
  readonly name?: string;
  readonly session?: string;
  readonly method?: string;
  readonly reason?: string;
}

/** The audit trail of one tenant. */
export interface Audit {
  /** Queue an event; it is written within a second (LG-04). Never throws. */
  record(entry: AuditEntry, context: Context): void;
  /** Queue an event and wait until it is written: administrative changes fail where it cannot be. */
  recordFirst(entry: AuditEntry, context: Context): Promise<void>;
}

/** Writes events somewhere durable. */
export type AuditSink = (events: readonly AuditEvent[]) => Promise<void>;

/** A queue in front of a sink. */
export interface AuditQueue {
  forTenant(tenant: string): Audit;
  /** Events that could not be written and were given up. */
  lost(): number;
  /** Write what is queued. */
  close(): Promise<void>;
}

const BATCH = 500;
const CAPACITY = 10_000;

/**
 * Queues events and writes them in batches: at once where a caller waits, else within a second.
 * A sink that fails or hangs loses no login: events wait, up to 10,000, then the oldest go and are
 * counted. A kill −9 may lose the last second.
 */
export function createAuditQueue(
  sink: AuditSink,
  { now, deadline = 3000 }: { now: () => number; deadline?: number },
): AuditQueue {
  let queue: AuditEvent[] = [];
  let lost = 0;
  let sequence = 0;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  const add = (event: AuditEvent): void => {
    queue.push(event);
    if (queue.length > CAPACITY) {
      queue.shift();
      lost += 1;
    }
    schedule();
  };
  const schedule = (): void => {
    timer ??= setTimeout(() => void flush().catch(schedule), 1000).unref();
  };
  const write = async (): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.slice(0, BATCH);
      await callOut(() => sink(batch), deadline, "audit");
      const written = new Set(batch);
      queue = queue.filter((event) => !written.has(event));
    }
  };
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    writing = writing.catch(() => undefined).then(write);
    return writing;
  };

  return {
    forTenant: (tenant) => ({
      record(entry, context) {
        add(eventOf(entry, context, { tenant, now: now(), sequence: (sequence += 1) }));
      },
      async recordFirst(entry, context) {
        add(eventOf(entry, context, { tenant, now: now(), sequence: (sequence += 1) }));
        await flush();
      },
    }),
    lost: () => lost,
    async close() {
      await flush().catch(() => undefined);
      lost += queue.length;
    },
  };
}

/** Sorts by time, then by the order in which this process queued it. */
function eventId(now: number, sequence: number): string {
  return `${now.toString(36).padStart(9, "0")}_${sequence.toString(36).padStart(8, "0")}_${randomId()}`;
}

function eventOf(
  entry: AuditEntry,
  context: Context,
  { tenant, now, sequence }: { tenant: string; now: number; sequence: number },
): AuditEvent {
  return {
    id: eventId(now, sequence),
    at: new Date(now),
    outcome: "success",
    tenant,
    ...entry,
    // A ticket names its account before anybody has verified it.
    ...(entry.account === undefined ? {} : { account: cleanLabel(entry.account, 64) }),
    ...(context.ip === undefined ? {} : { ip: cleanLabel(context.ip) }),
    ...(context.userAgent === undefined ? {} : { userAgent: cleanLabel(context.userAgent, 200) }),
    ...(context.requestId === undefined ? {} : { requestId: cleanLabel(context.requestId) }),
  };
}
