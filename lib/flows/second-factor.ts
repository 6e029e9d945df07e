import type { BudgetName, FactorRecord, Method } from "../account.ts";
import { attempt, type Decision } from "../attempt.ts";
import { exhausts, isOff, refresh } from "../budget.ts";
import { change, type Change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core, Progress } from "../core.ts";
import { digest } from "../crypto/digest.ts";
import { readHandle, type Handle } from "../crypto/ticket.ts";
import { AuthError } from "../errors.ts";
import { checkBackupCode } from "../factors/backup-code.ts";
import { readCode, type CodeForm } from "../factors/code-form.ts";
import { checkPassword } from "../factors/password.ts";
import { checkTotp, type FactorCheck } from "../factors/totp.ts";
import { methodsOf } from "../policy.ts";
import type { Receipt } from "../receipt.ts";
import { throttled } from "./throttled.ts";
import { describeSession, nameOf, noteStart, openSession, TRIES } from "./gate.ts";
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

/**
 * Finish a pending login with a code.
 *
 * @param ticket What `login` answered, or the subject and entry that the host's own session vouches for.
 * @throws AuthError `invalid_ticket`, `invalid_code`, `too_many_attempts`, `rate_limited`, `unavailable`.
 */
export async function submit(
  core: Core,
  ticket: string | Handle,
  { choice, proof }: { readonly choice: Choice; readonly proof: SecondProof },
  context: Context,
): Promise<Progress> {
  const handle = typeof ticket === "string" ? readHandle(ticket) : ticket;
  if (handle === undefined) throw new AuthError("invalid_ticket", { reason: "malformed" });
  const form = readOffered(proof.code, choice);
  const first = proof.first && { ...proof.first, key: keyOf(core, proof.first.name) };

  const event = eventOf(handle.subject, form);
  const progress = await throttled(core, { context, event }, () =>
    whereHashed(core, form, first !== undefined, () =>
      finish(core, handle, { form, first }, context),
    ),
  );
  return noteStart(core, progress, { context, method: methodOf(form) });
}

function finish(
  core: Core,
  { subject, entry, secret }: Handle,
  { form, first }: { form: CodeForm; first: FirstProof | undefined },
  context: Context,
): Promise<Progress> {
  const now = core.now();
  const path = ["pending", entry];
  const budgets: BudgetName[] = [...budgetsOf(form), ...(first ? (["password"] as const) : [])];
  const about = change()
    .when([...path, "expiresAt"], { above: now })
    .when([...path, "tries"], { below: TRIES })
    .add([...path, "tries"], 1);

  return attempt(
    core,
    {
      ...base(core, { subject, form, context }),
      budgets,
      about:
        secret === undefined ? about : about.when([...path, "secret"], { equals: digest(secret) }),
      giveBack: change()
        .when([...path, "tries"], { above: 0 })
        .add([...path, "tries"], -1),
      gone: "invalid_ticket",
    },
    async (receipt): Promise<Decision<Progress>> => {
      const { record } = receipt;
      const pending = record.pending?.[entry];
      const again = first && (await checkFirst(core, receipt, first));
      const check = await checkCode(core, receipt, form);
      if (pending === undefined || again === "wrong") return { refused: "first_factor" };
      // MC-07: what was true when the login began may no longer be.
      const barred = core.barred(record);
      if (barred !== undefined) return { refused: barred };
      if ("refused" in check) return check;

      const step = openSession(
        core,
        { subject, record },
        { ...pending, proofs: { ...pending.proofs, [methodOf(form)]: now } },
        context,
      );
      const settled = step.change
        .whenSame([...path, "secret"], pending.secret)
        .unset(path)
        .and(check.change)
        .and(settle(record, form, first !== undefined));
      return { ...step, change: settled };
    },
  );
}

/**
 * A second factor within a session: raises it (MC-10). The session keeps its id.
 *
 * @throws AuthError as `submit` does; `not_enrolled`; `invalid_token` where the session has ended meanwhile.
 */
export async function stepUp(
  core: Core,
  { subject, sessionId, record }: Acting,
  { choice, proof }: { readonly choice: Choice; readonly proof: SecondProof },
  context: Context,
): Promise<Progress> {
  const form = readOffered(proof.code, choice);
  if (!methodsOf(record).includes(methodOf(form))) throw new AuthError("not_enrolled");
  const now = core.now();
  const path = ["sessions", sessionId];
  const event = { ...eventOf(subject, form), type: "step_up", session: sessionId } as const;

  return throttled(core, { context, event }, () =>
    whereHashed(core, form, false, () =>
      attempt(
        core,
        {
          ...base(core, { subject, form, context }),
          event,
          about: change().when([...path, "expiresAt"], { above: now }),
          gone: "invalid_token",
        },
        async (receipt): Promise<Decision<Progress>> => {
          const check = await checkCode(core, receipt, form);
          const entry = receipt.record.sessions?.[sessionId];
          if (entry === undefined) return { refused: "session_gone", code: "invalid_token" };
          const barred = core.barred(receipt.record);
          if (barred !== undefined) return { refused: barred };
          if ("refused" in check) return check;

          const proofs = { ...entry.proofs, [methodOf(form)]: now };
          const raised = { ...entry, proofs, seenAt: now };
          return {
            change: change()
              .when([...path, "expiresAt"], { above: now })
              .set([...path, "proofs", methodOf(form)], now)
              .set([...path, "seenAt"], now)
              .and(check.change)
              .and(settle(receipt.record, form, false)),
            value: {
              status: "complete",
              accountId: subject,
              name: nameOf(core, subject, receipt.record),
              session: describeSession(core, { ...receipt, sessionId, entry: raised }),
            },
          };
        },
      ),
    ),
  );
}

interface FirstProof {
  readonly key: string | undefined;
  readonly password: string;
}

/** The key of a typed name; undefined where this core keeps no names. */
function keyOf(core: Core, name: string): string | undefined {
  return core.directory?.keyOf(name);
}

/** The name must be one of this account's and the password must be right, in the same time for either fault. */
async function checkFirst(
  core: Core,
  receipt: Receipt,
  { key, password }: FirstProof,
): Promise<"right" | "wrong"> {
  const { right } = await checkPassword(receipt, core.hasher, password);
  const named = key !== undefined && core.isNamed(receipt.record, key);
  return right && named ? "right" : "wrong";
}

async function checkCode(core: Core, receipt: Receipt, form: CodeForm): Promise<FactorCheck> {
  if (form.kind === "backup") return checkBackupCode(receipt, form.code, core.keyring);
  return checkTotp(receipt, form.code, { sealer: core.sealer, now: core.now() });
}

/** A code whose form none of the offered methods has costs nothing: it is never compared. */
function readOffered(code: string, { methods }: Choice): CodeForm {
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

function methodOf({ kind }: CodeForm): Method {
  return FORMS[kind].method;
}

function budgetsOf({ kind }: CodeForm): BudgetName[] {
  return ["second", FORMS[kind].budget];
}

function eventOf(
  account: string,
  form: CodeForm,
): {
  readonly type: "second_factor";
  readonly account: string;
  readonly method: Method;
} {
  return { type: "second_factor", account, method: methodOf(form) };
}

function base(
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
function settle(record: FactorRecord, form: CodeForm, withPassword: boolean): Change {
  const own = refresh([...budgetsOf(form), ...(withPassword ? (["password"] as const) : [])]);
  const reopen = form.kind !== "digits" && isOff(record, "code");
  return reopen
    ? change()
        .and(own)
        .and(refresh(["code"]))
    : own;
}

/** In a hashing slot where the proof takes one. */
function whereHashed<T>(
  core: Core,
  form: CodeForm,
  withPassword: boolean,
  work: () => Promise<T>,
): Promise<T> {
  const hashes = withPassword || (form.kind === "backup" && form.code.length === 8);
  return hashes ? inSlot(core, work) : work();
}
