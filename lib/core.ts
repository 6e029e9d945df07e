import type { Account, FactorRecord, MailedPurpose, Method, SessionEntry } from "./account.ts";
import type { Audit } from "./audit.ts";
import type { Background } from "./background.ts";
import type { Path } from "./change.ts";
import type { Context } from "./context.ts";
import type { HashingSlots } from "./crypto/hashing-slots.ts";
import type { Keyring } from "./crypto/keyring.ts";
import type { PasswordHasher } from "./crypto/password-hash.ts";
import type { PasswordPolicy } from "./crypto/password-policy.ts";
import type { Sealer } from "./crypto/sealing.ts";
import type { Tokens } from "./crypto/tokens.ts";
import type { MessageKind } from "./delivery/messages.ts";
import type { Delivery } from "./delivery/port.ts";
import type { PolicySubject, SecondFactorPolicy } from "./policy.ts";
import type { Records, TenantStore } from "./store/port.ts";
import type { Throttle } from "./throttle.ts";

/** Finds subjects by the name somebody types. */
export interface Directory {
  /** The key under which a name is counted, and who answers to it. Takes the same time for every name. */
  find(name: string): Promise<FoundName>;
  /** The key of a name, without looking for it. @throws AuthError `invalid_input` */
  keyOf(name: string): string;
  /** Budgets of names that nobody answers to, so that they behave as the others do (EN-04). */
  readonly unknown: Records;
}

/** What a name led to. */
export interface FoundName {
  readonly key: string;
  readonly subject: string | null;
  /** Where the subject's record must list the name, where it keeps such a list. */
  readonly listed?: Path;
}

/** What every flow works with. One for each tenant, or for each host's own users. */
export interface Core {
  readonly tenant: string;
  readonly issuer: string;
  readonly records: Records;
  readonly directory: Directory | undefined;
  readonly keyring: Keyring;
  readonly sealer: Sealer;
  readonly tokens: Tokens;
  readonly hasher: PasswordHasher;
  readonly slots: HashingSlots;
  readonly passwords: PasswordPolicy;
  readonly policy: CorePolicy;
  readonly audit: Audit;
  readonly throttle: Throttle;
  now(): number;
  /** Why this record may not log in, for the audit trail; undefined where it may. Judged after the proof (EN-02). */
  barred(record: FactorRecord): string | undefined;
  /** Whether the name of this key is one of the record's. */
  isNamed(record: FactorRecord, key: string): boolean;
  /** What a policy function is told of a record. */
  describe(subject: string, record: FactorRecord): PolicySubject;
  /** Tell the owner of an account; queued, never fails. */
  notify(subject: string, record: FactorRecord, kind: MessageKind, context: Context): void;
}

/** What flows on accounts of ours work with beside that. */
export interface AccountCore extends Core {
  readonly records: Records<Account>;
  readonly store: TenantStore;
  readonly background: Background;
  readonly delivery: Delivery;
  readonly publicUrl: URL;
  /** Paths of the pages that mailed links open, below the public URL. */
  readonly links: Readonly<Record<MailedPurpose, string>>;
  /** Count a mail against its account, its destination and the tenant; false once a limit is passed (TH-08). */
  mayReach(address: string, kind: MessageKind, account: string): Promise<boolean>;
}

/** The rules a host sets. */
export interface CorePolicy {
  readonly secondFactor: SecondFactorPolicy;
  /** Milliseconds that a session may live where the request asks for nothing else. */
  readonly sessionLifetime: number;
  /** Milliseconds in which the previous refresh token still gives the same successor. */
  readonly refreshGrace: number;
  /** Code points that a password must have where it alone opens the account, and where it does not. */
  readonly passwordLength: { readonly alone: number; readonly beside: number };
  /** Whether an address must be verified before its account can log in. */
  readonly verifiedToLogIn: boolean;
}

/** Who is acting: a live session, and the record it was found in. */
export interface Acting {
  readonly subject: string;
  readonly sessionId: string;
  readonly entry: SessionEntry;
  readonly record: FactorRecord;
}

/** The same, on an account of ours. */
export interface AccountActing extends Acting {
  readonly record: Account;
}

/** How far a login has come. A value, never an exception: one family calls "second factor needed" an error. */
export type Progress =
  | {
      readonly status: "pending";
      /** Opaque; names the pending login to `submit`. */
      readonly ticket: string;
      readonly accountId: string;
      /** The entry of the pending login, for hosts whose own session vouches for it. */
      readonly entry: string;
      readonly methods: readonly Method[];
      readonly preferred: Method;
      readonly expiresAt: Date;
    }
  | {
      readonly status: "complete";
      readonly accountId: string;
      /** The user name, else the address, else the id. */
      readonly name: string;
      readonly session: Session;
    };

/** A session as it is told to hosts and wires. */
export interface Session {
  readonly id: string;
  readonly level: "enrol" | "aal1" | "aal2";
  /** RFC 8176. */
  readonly amr: readonly string[];
  /** `aal1` or `aal2` (NIST SP 800-63B); a session that may only enrol has `aal1`. */
  readonly acr: string;
  readonly authTime: Date;
  readonly createdAt: Date;
  readonly lastSeenAt: Date;
  readonly expiresAt: Date;
  readonly label: string;
  readonly ip: string;
}
