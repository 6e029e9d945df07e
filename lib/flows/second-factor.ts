import type { BudgetName } from "../account.ts";
import { attempt, type Decision } from "../attempt.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Core, Progress } from "../core.ts";
import { digest } from "../crypto/digest.ts";
import { type Handle, readHandle } from "../crypto/ticket.ts";
import { AuthError } from "../errors.ts";
import type { CodeForm } from "../factors/code-form.ts";
import { checkPassword } from "../factors/password.ts";
import type { Receipt } from "../receipt.ts";
import {
  base,
  budgetsOf,
  checkCode,
  type Choice,
  eventOf,
  methodOf,
  readOffered,
  type SecondProof,
  settle,
  whereHashed,
} from "./code-attempt.ts";
import { noteStart, openSession, TRIES } from "./gate.ts";
import { throttled } from "./throttled.ts";

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
