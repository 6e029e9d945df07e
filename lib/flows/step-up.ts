import { attempt, type Decision } from "../attempt.ts";
import { change } from "../change.ts";
import type { Context } from "../context.ts";
import type { Acting, Core, Progress } from "../core.ts";
import { AuthError } from "../errors.ts";
import { methodsOf } from "../policy.ts";
import {
  base,
  checkCode,
  type Choice,
  eventOf,
  methodOf,
  readOffered,
  type SecondProof,
  settle,
  whereHashed,
} from "./code-attempt.ts";
import { describeSession, nameOf } from "./gate.ts";
import { throttled } from "./throttled.ts";

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
