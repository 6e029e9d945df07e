import { entriesOf, type FactorRecord, type TotpDevice, type TotpEnrolment } from "../account.ts";
import type { Decision } from "../attempt.ts";
import { refresh } from "../budget.ts";
import { change } from "../change.ts";
import { cleanLabel, type Context } from "../context.ts";
import type { Acting, Core, Session } from "../core.ts";
import { randomEntryId } from "../crypto/random.ts";
import { AuthError } from "../errors.ts";
import type { BackupCodeForm } from "../factors/backup-code.ts";
import { readCode } from "../factors/code-form.ts";
import {
  createSeed,
  encodeSeed,
  keyUri,
  matchStep,
  MAX_TOTP_DEVICES,
  seedContext,
} from "../factors/totp.ts";
import { needsSecondFactor } from "../policy.ts";
import type { Receipt } from "../receipt.ts";
import { attemptActing, demandFresh, keepOnly } from "./acting.ts";
import { inSlot } from "./in-slot.ts";
import { newBackupCodes, prepare } from "./backup-codes.ts";
import { describeSession } from "./gate.ts";

/** Milliseconds that a factor may wait for its confirmation (TO-07). */
const ENROLMENT_LIVES = 10 * 60_000;

/** What is shown once, to be put into an authenticator app (TO-09). */
export interface TotpSetup {
  readonly deviceId: string;
  /** Upper-case base32 without padding. */
  readonly secret: string;
  /** `otpauth://totp/…` */
  readonly uri: string;
  readonly backupCodes?: readonly string[];
  readonly expiresAt: Date;
}

/** What a set-up may ask for. */
export interface TotpSetupOptions {
  /** What the owner calls the app. @default "Authenticator app" */
  readonly name?: string;
  /** What the app shows beside the issuer. @default the account's address, user name or id */
  readonly account?: string;
  /** Backup codes to be shown with the seed; they become good when it is confirmed. @default none */
  readonly backupCodes?: BackupCodeForm;
}

/**
 * Begin to set up an authenticator app. A second call replaces what the first one prepared, never a
 * factor in use.
 *
 * @throws AuthError `step_up_required` for an account that has a second factor and a session that did
 * not use it lately; `unavailable`.
 */
export async function beginTotp(
  core: Core,
  acting: Acting,
  { name = "Authenticator app", account, backupCodes: form }: TotpSetupOptions,
  context: Context,
): Promise<TotpSetup> {
  demandFresh(core, acting, context);
  const { subject, record } = acting;
  const described = core.describe(subject, record);
  const label = account ?? described.email ?? described.username ?? subject;
  const event = { type: "enrolment_begin", account: subject, method: "totp" } as const;
  return prepare(core, acting, { context, event, hashes: form === "short" }, async () => {
    const seed = createSeed();
    const id = randomEntryId();
    const backup = form && (await newBackupCodes(core, subject, form));
    const enrolment: TotpEnrolment = {
      id,
      name: cleanLabel(name, 60),
      seed: core.sealer.seal(seed, seedContext(subject, id)),
      expiresAt: core.now() + ENROLMENT_LIVES,
      ...(backup === undefined ? {} : { backup: backup.stored }),
    };
    return {
      change: change().set(["enrolment"], enrolment),
      value: {
        deviceId: id,
        secret: encodeSeed(seed),
        uri: keyUri({ issuer: core.issuer, account: label, seed }),
        expiresAt: new Date(enrolment.expiresAt),
        ...(backup === undefined ? {} : { backupCodes: backup.shown }),
      },
    };
  });
}

/** What a confirmation makes of the factors that are there. */
export interface ConfirmOptions {
  /** Whether the new app takes the place of every other one. @default false: it is added */
  readonly replace?: boolean;
  /** Backup codes to be made where the account has none and the set-up showed none. @default none */
  readonly backupCodes?: BackupCodeForm;
}

/** A confirmed factor. */
export interface Confirmed {
  readonly deviceId: string;
  readonly session: Session;
  readonly backupCodes?: readonly string[];
}

/**
 * Confirm an authenticator app with a code of it, which counts as used (TO-04) and raises the acting
 * session.
 *
 * @throws AuthError `nothing_pending`, `invalid_code`, `too_many_attempts`, `step_up_required`, `unavailable`.
 */
export async function confirmTotp(
  core: Core,
  acting: Acting,
  { code, replace = false, backupCodes: form }: ConfirmOptions & { readonly code: string },
  context: Context,
): Promise<Confirmed> {
  demandFresh(core, acting, context);
  const typed = readCode(code);
  const { subject, record: seen, sessionId } = acting;
  if ((seen.enrolment?.expiresAt ?? 0) <= core.now()) throw new AuthError("nothing_pending");
  if (typed?.kind !== "digits") throw new AuthError("invalid_code", { reason: "malformed" });
  if (!replace && entriesOf<TotpDevice>(seen.totp).length >= MAX_TOTP_DEVICES) {
    throw new AuthError("conflict", { reason: "too_many_devices" });
  }

  const codesDue =
    form !== undefined && seen.backup === undefined && seen.enrolment?.backup === undefined;
  const make = (): Promise<NewCodes> => newBackupCodes(core, subject, form ?? "long");
  const extra = !codesDue ? undefined : await (form === "short" ? inSlot(core, make) : make());
  const now = core.now();
  // Not the class of short codes: switched off by a phone with a wrong clock, it could not be opened again.
  const budgets = ["second"] as const;
  return attemptActing(
    core,
    acting,
    {
      budgets,
      about: change().when(["enrolment", "expiresAt"], { above: now }),
      wrong: "invalid_code",
      gone: "nothing_pending",
      event: { type: "factor_added", account: subject, method: "totp", session: sessionId },
      context,
      onGranted: (record) => {
        const replaced = replace && needsSecondFactor(record);
        core.notify(subject, record, replaced ? "factor_replaced" : "factor_added", context);
      },
    },
    (receipt) => decideTotp(core, receipt, { code: typed.code, replace, sessionId, extra }),
  );
}

type NewCodes = Awaited<ReturnType<typeof newBackupCodes>>;

interface TotpConfirmation {
  readonly code: string;
  readonly replace: boolean;
  readonly sessionId: string;
  readonly extra: NewCodes | undefined;
}

function decideTotp(
  core: Core,
  { subject, record }: Receipt,
  { code, replace, sessionId, extra }: TotpConfirmation,
): Decision<Confirmed> {
  const now = core.now();
  const { enrolment } = record;
  const entry = record.sessions?.[sessionId];
  if (enrolment === undefined || entry === undefined) return { refused: "nothing_pending" };
  const { id, name } = enrolment;
  const step = matchStep(core.sealer.open(enrolment.seed, seedContext(subject, id)), code, now);
  if (step === undefined) return { refused: "wrong" };
  const others = entriesOf<TotpDevice>(record.totp).length;

  const device: TotpDevice = { name, seed: enrolment.seed, lastStep: step, createdAt: now };
  const proofs = { ...entry.proofs, totp: now };
  const raised = { ...entry, proofs, seenAt: now };
  // SE-08: replacing a factor ends the other sessions; adding one ends pending logins only.
  const sessions =
    replace && others > 0
      ? keepOnly({ record, sessionId }, { proofs, seenAt: now })
      : change()
          .when(["sessions", sessionId], { present: true })
          .set(["sessions", sessionId, "proofs", "totp"], now)
          .set(["pending"], {});
  const placed = replace
    ? sessions.set(["totp"], { [id]: device })
    : sessions.set(["totp", id], device);
  const backup = enrolment.backup ?? extra?.stored;
  const confirmed = placed
    .whenSame(["enrolment", "id"], id)
    .unset(["enrolment"])
    .add(["epoch"], 1)
    .and(refresh(["second", "code", "setup"]));

  const after: FactorRecord = { ...record, totp: { [id]: device } };
  return {
    change: backup === undefined ? confirmed : confirmed.set(["backup"], backup),
    value: {
      deviceId: id,
      session: describeSession(core, { subject, record: after, sessionId, entry: raised }),
      ...(extra === undefined ? {} : { backupCodes: extra.shown }),
    },
  };
}
