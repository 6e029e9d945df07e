/** Somebody who uses a login. */
export interface Person {
  readonly username: string;
  readonly email: string;
  readonly password: string;
}

/** What a client holds for a session; only the client that gave it can read it. */
export type Held = object;

/** Why something was refused, in no family's words. */
export type Refusal =
  /** The proof is wrong, spent, or not the one asked for. */
  | "wrong"
  /** Too many attempts; later. */
  | "later"
  /** No session, or one that has ended. */
  | "logged_out"
  /** A second factor must be given first, or again. */
  | "second_factor"
  /** A second factor must be set up first. */
  | "must_enrol"
  /** A second factor is mandatory. */
  | "mandatory"
  /** What it is about is not there. */
  | "missing"
  /** Somebody else has the name. */
  | "taken"
  /** The value is not good. */
  | "invalid";

/** What came of something that answers nothing else. */
export type Outcome = "done" | Refusal;

/** How far a login has come. */
export type Login =
  | { readonly state: "complete"; readonly session: Held }
  | { readonly state: "pending"; readonly pending: Held }
  | { readonly state: "refused"; readonly why: Refusal };

/** What is put into an authenticator app, and kept on paper. */
export interface Setup {
  readonly secret: string;
  readonly backupCodes: readonly string[];
}

/** A list of one's own sessions has these. */
export interface ListedSession {
  readonly id: string;
  readonly current: boolean;
}

/** Whether somebody has a second factor. */
export interface FactorStatus {
  readonly enabled: boolean;
  readonly backupCodesLeft: number;
}

/** What a person can do through a family's wire. Each family says it in its own way; the scenarios do not know how. */
export interface ScenarioClient {
  register(person: Person): Promise<Outcome>;
  login(person: Person): Promise<Login>;
  finishLogin(pending: Held, code: string): Promise<Login>;
  /** Whether the session is good for anything. */
  isLive(session: Held): Promise<boolean>;
  /** Keep a session going with what is given for that; the same session afterwards. */
  renew(session: Held): Promise<Login>;
  logout(session: Held): Promise<Outcome>;
  enrolTotp(session: Held): Promise<Setup | Refusal>;
  confirmTotp(session: Held, code: string): Promise<Outcome>;
  status(session: Held): Promise<FactorStatus>;
  /** Within a session, as proof of a second factor. */
  useBackupCode(session: Held, code: string): Promise<Outcome>;
  replaceBackupCodes(session: Held): Promise<readonly string[] | Refusal>;
  disable(session: Held, proof: { password: string; code: string }): Promise<Outcome>;
  changePassword(session: Held, change: { current: string; next: string }): Promise<Outcome>;
  changeEmail(session: Held, email: string): Promise<Outcome>;
  /** The address that the account has, and whether it is confirmed. */
  address(session: Held): Promise<{ readonly email: string; readonly verified: boolean }>;
  verifyEmail(token: string): Promise<Outcome>;
  sessions(session: Held): Promise<readonly ListedSession[]>;
  endSession(session: Held, id: string): Promise<Outcome>;
}

/** What surrounds a scenario: time, mail, an authenticator app, the operator's hand. */
export interface World {
  /** Let seconds pass. */
  wait(seconds: number): void;
  /** What the app shows, `step` steps from now. */
  appCode(secret: string, step?: number): string;
  /** A code that the app does not show. */
  wrongCode(secret: string): string;
  /** Kinds of the mails that went to an address, in order. */
  mailsTo(email: string): Promise<readonly string[]>;
  /** The token in the newest mail to an address. */
  mailedToken(email: string): Promise<string>;
  /** Switch an account off. */
  disableAccount(person: Person): Promise<void>;
}

/** A story told without a wire. */
export interface Scenario {
  /** A sentence. */
  readonly title: string;
  /** Whether everybody must have a second factor here. @default false */
  readonly mandatory?: boolean;
  /** What the audit trail says of it afterwards, one `type outcome reason` a line. */
  readonly trail: readonly string[];
  readonly tell: (client: ScenarioClient, world: World) => Promise<void>;
}
