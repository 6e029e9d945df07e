/** A map keyed by ids of ours. */
export type Entries<T> = Readonly<Record<string, T>>;

/** A second factor, by the name this library uses everywhere. */
export type Method = "totp" | "backup_code";

/** What a session can rest on: a second factor, the password, or a first factor somebody else checked. */
export type ProofKind = Method | "password" | "foreign";

/** When each kind of proof was last given, in milliseconds since 1970. */
export type Proofs = Readonly<Partial<Record<ProofKind, number>>>;

/** Attempts paid for and not yet refunded by a success. */
export interface Budget {
  readonly fails?: number;
  /** Milliseconds since 1970 of the last charge. */
  readonly lastAt?: number;
}

/**
 * `password` counts password attempts; `second` delays every second-factor attempt; `code` and
 * `backup` count the classes "short codes" and "backup codes" (RFC 4226 §7.3, TH-01, TH-05); `setup`
 * delays set-ups and new backup codes, whose slow hashes would keep others from logging in.
 */
export type BudgetName = "password" | "second" | "code" | "backup" | "setup";

/** An authenticator app. The seed is sealed for this account and device. */
export interface TotpDevice {
  readonly name: string;
  readonly seed: string;
  /** The newest time step a code was accepted for; −1 before the first (RFC 6238 §5.2). */
  readonly lastStep: number;
  readonly createdAt: number;
  readonly lastUsedAt?: number;
}

/** Backup codes that are left, keyed by their digest; the value names the key the digest was made with. */
export interface BackupCodes {
  readonly codes: Entries<string>;
  /** Salt of the slow hash, base64url; only for codes too short to stand in a keyed hash alone (BC-02). */
  readonly salt?: string;
  readonly createdAt: number;
}

/** A factor somebody began to set up and has not confirmed: good for nothing but its confirmation (TO-07). */
export interface TotpEnrolment {
  readonly id: string;
  readonly name: string;
  readonly seed: string;
  readonly expiresAt: number;
  /** Codes that were shown with the seed and become good with it. */
  readonly backup?: BackupCodes;
}

/** A login whose first factor was right. */
export interface PendingLogin {
  /** Digest of the ticket's secret. */
  readonly secret: string;
  readonly proofs: Proofs;
  /** What a foreign first factor states about itself (RFC 8176), space-separated. */
  readonly amr?: string;
  readonly tries: number;
  readonly expiresAt: number;
  /** Milliseconds that the session to come may live. */
  readonly lifetime: number;
}

/** A session. Its level is computed from the proofs, never stored. */
export interface SessionEntry {
  readonly proofs: Proofs;
  readonly amr?: string;
  readonly createdAt: number;
  readonly seenAt: number;
  readonly expiresAt: number;
  /** A short description of the client; text of the client's, cleaned and bounded. */
  readonly label: string;
  readonly ip: string;
  /** How often the refresh token was rotated. */
  readonly refresh: number;
  readonly refreshedAt?: number;
}

/** What a mailed token is for. */
export type MailedPurpose = "verify_email" | "change_email" | "unlock";

/** A mailed one-time token; one a purpose, so that a new one ends the older (RT-03). */
export interface MailedToken {
  readonly id: string;
  /** Digest of the secret (RT-01). */
  readonly secret: string;
  readonly sentAt: number;
  readonly expiresAt: number;
  /** The address it was sent to and speaks for (RT-10). */
  readonly address: string;
}

/** What the factors need to know of somebody. Every part is absent until it is first needed. */
export interface FactorRecord {
  /** Grows with every change of password, factors, policy or state; every commit carries the one it saw. */
  readonly epoch?: number;
  /** Absent: `active`. `new` until its names are claimed; such an account can do nothing and expires. */
  readonly state?: "new" | "active" | "disabled";
  readonly password?: { readonly hash: string; readonly changedAt: number };
  readonly totp?: Entries<TotpDevice>;
  readonly backup?: BackupCodes;
  readonly enrolment?: TotpEnrolment;
  readonly pending?: Entries<PendingLogin>;
  readonly sessions?: Entries<SessionEntry>;
  readonly budgets?: Readonly<Partial<Record<BudgetName, Budget>>>;
}

/** A name or address by which an account is found, under the key of its `identifiers` document. */
export interface AccountName {
  readonly kind: "name" | "idp";
}

/** An e-mail address as it was given, and whether its owner has proved to read it. */
export interface EmailAddress {
  readonly address: string;
  readonly key: string;
  readonly verifiedAt?: number;
}

/** What an account tells about its owner. */
export interface ProfileFields {
  readonly firstName?: string;
  readonly lastName?: string;
}

/** One account: one document, so that one write decides (design: charge, decide, commit). */
export interface Account extends FactorRecord {
  readonly tenant: string;
  readonly state: "new" | "active" | "disabled";
  readonly names?: Entries<AccountName>;
  readonly username?: string;
  readonly email?: EmailAddress;
  readonly profile?: ProfileFields;
  readonly mailed?: Readonly<Partial<Record<MailedPurpose, MailedToken>>>;
  readonly createdAt: number;
  readonly updatedAt: number;
}

/** The pairs of a map that may not be there yet. */
export function entriesOf<T>(map: Entries<T> | undefined): [string, T][] {
  return Object.entries(map ?? {});
}
