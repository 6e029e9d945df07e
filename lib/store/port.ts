import type { Account, FactorRecord } from "../account.ts";
import type { AuditEvent } from "../audit.ts";
import type { Change } from "../change.ts";

/**
 * Where factor records live. `charge` and `commit` must each be one atomic compare-and-set, durable
 * (majority-acknowledged) before they answer, and never retried by a new operation.
 */
export interface Records<R extends object = FactorRecord> {
  /** The newest acknowledged record; `{}` for somebody without one; null where there is no such subject. */
  read(subject: string): Promise<R | null>;
  /** Apply if every condition holds and answer the record as it was before; null if one does not. */
  charge(subject: string, change: Change): Promise<R | null>;
  /** Apply if every condition holds; true if it was applied, be it without visible effect. */
  commit(subject: string, change: Change): Promise<boolean>;
}

/** Accounts and names of one tenant. Every filter below holds the tenant (MT-01). */
export interface TenantStore {
  readonly accounts: Records<Account>;
  /** Budgets of names that have no account, keyed as names are. */
  readonly unknown: Records;
  /** The account a name points at, by one upsert for known and unknown names alike (EN-02). */
  resolve(key: string): Promise<string | null>;
  /** Make an account document that is swept at `expiresAt` unless it is activated before. */
  insert(id: string, account: Omit<Account, "tenant">, expiresAt: number): Promise<void>;
  /**
   * Point a name at an account; false where it is another's. A pointer that its account does not list is
   * free after 60 s.
   */
  claim(key: string, account: string, now: number): Promise<boolean>;
  /** Let go of a name that points at this account and was claimed before the given time. */
  release(key: string, account: string, before: number): Promise<void>;
  /** Delete the account; its names are let go of afterwards. */
  remove(account: string): Promise<boolean>;
}

/** How many messages may go to one destination. */
export interface SendLimit {
  /** Within 15 minutes. */
  readonly perQuarter: number;
  /** Within a day (UTC). */
  readonly perDay: number;
}

/** The database behind `createAuth`. */
export interface Store {
  /** The accounts and names of one tenant. */
  tenant(id: string): TenantStore;
  /** Count one message against a destination or a tenant; false once a limit is passed (TH-08). */
  countSend(key: string, limit: SendLimit, now: number): Promise<boolean>;
  /** Write events to the trail; one that was written before is not written again. */
  appendAudit(events: readonly AuditEvent[]): Promise<void>;
  /** Make and check indexes, check the connection. @throws TypeError, Error naming what is wrong. */
  ready(): Promise<void>;
}
