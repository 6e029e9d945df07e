import type { BudgetName, FactorRecord, Method } from "../account.ts";
import { exhausts, isOff, refresh } from "../budget.ts";
import { change, type Change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Core } from "../core.ts";
import { AuthError } from "../errors.ts";
import { checkBackupCode } from "../factors/backup-code.ts";
import { type CodeForm, readCode } from "../factors/code-form.ts";
import { checkTotp, type FactorCheck } from "../factors/totp.ts";
import type { Receipt } from "../receipt.ts";
import { inSlot } from "./in-slot.ts";

/** Which second factors a code may be held against: one, or all that the caller offers ("some code"). */
export interface Choice {
  readonly methods: readonly Method[];
}

/** A typed code, and the first factor once more where a wire asks for both in one request. */
export interface SecondProof {
  readonly code: string;
  readonly first?: { readonly name: string; readonly password: string };
}

export async function checkCode(
  core: Core,
  receipt: Receipt,
  form: CodeForm,
): Promise<FactorCheck> {
  if (form.kind === "backup") return checkBackupCode(receipt, form.code, core.keyring);
  return checkTotp(receipt, form.code, { sealer: core.sealer, now: core.now() });
}

/** A code whose form none of the offered methods has costs nothing: it is never compared. */
export function readOffered(code: string, { methods }: Choice): CodeForm {
  const form = readCode(code);
  if (form === undefined) throw new AuthError("invalid_code", { reason: "malformed" });
  if (!methods.includes(methodOf(form)))
    throw new AuthError("invalid_code", { reason: "not_offered" });
  return form;
}

/** Which factor a form stands for, and which class of attempts pays for it. A new form does not compile without. */
const FORMS: Readonly<Record<CodeForm["kind"], { method: Method; budget: BudgetName }>> = {
  digits: { method: "totp", budget: "code" },
  backup: { method: "backup_code", budget: "backup" },
};

export function methodOf({ kind }: CodeForm): Method {
  return FORMS[kind].method;
}

export function budgetsOf({ kind }: CodeForm): BudgetName[] {
  return ["second", FORMS[kind].budget];
}

export function eventOf(
  account: string,
  form: CodeForm,
): {
  readonly type: "second_factor";
  readonly account: string;
  readonly method: Method;
} {
  return { type: "second_factor", account, method: methodOf(form) };
}

export function base(
  core: Core,
  { subject, form, context }: { subject: string; form: CodeForm; context: Context },
) {
  return {
    records: core.records,
    subject,
    budgets: budgetsOf(form),
    wrong: "invalid_code",
    event: eventOf(subject, form),
    context,
    onRefused(record: FactorRecord) {
      // TH-05: whoever gets this far has the password.
      if (exhausts(record, "second") === "delayed" || exhausts(record, "code") === "off") {
        core.notify(subject, record, "second_factor_failures", context);
      }
    },
    onGranted(record: FactorRecord) {
      // BC-06: the use of a backup code is flagged, and told to the owner.
      if (form.kind !== "backup") return;
      core.audit.record(
        { type: "backup_code_used", account: subject, reason: "recovery" },
        context,
      );
      core.notify(subject, record, "backup_code_used", context);
    },
  } as const;
}

/** Success makes its own budgets fresh; another class's success lets short codes in again. */
export function settle(record: FactorRecord, form: CodeForm, withPassword: boolean): Change {
  const own = refresh([...budgetsOf(form), ...(withPassword ? (["password"] as const) : [])]);
  const reopen = form.kind !== "digits" && isOff(record, "code");
  return reopen
    ? change()
        .and(own)
        .and(refresh(["code"]))
    : own;
}

/** In a hashing slot where the proof takes one. */
export function whereHashed<T>(
  core: Core,
  form: CodeForm,
  withPassword: boolean,
  work: () => Promise<T>,
): Promise<T> {
  const hashes = withPassword || (form.kind === "backup" && form.code.length === 8);
  return hashes ? inSlot(core, work) : work();
}
