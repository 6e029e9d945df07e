import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import type { AuditEvent, AuthOptions } from "../../lib/index.ts";
import { totpCode, wrongCode, type OpenedAuth } from "../support/auth.ts";
import type { ScenarioClient, World } from "./client.ts";
import { scenarios } from "./scenarios.ts";

/** A family on a core, and the client that speaks it. */
export interface Stage extends OpenedAuth {
  readonly client: ScenarioClient;
}

/** Tells every scenario through one family, and holds the audit trail against what each says of it (LG-01). */
export function tellAll(
  family: string,
  open: (t: TestContext, auth: Partial<AuthOptions>) => Promise<Stage>,
): void {
  for (const { title, mandatory = false, trail, tell } of scenarios) {
    test(`${family}: ${title}`, async (t) => {
      const auth = mandatory ? ({ policy: { secondFactor: "required" } } as const) : {};
      const stage = await open(t, auth);

      await tell(stage.client, worldOf(stage));

      const events = (await stage.auditEvents()).filter(({ type }) => !unequal.has(type));
      assert.deepEqual(events.map(lineOf), trail);
    });
  }
}

/** Families pay different budgets for one wrong code, and refuse different requests unread. */
const unequal = new Set<AuditEvent["type"]>(["budget_exhausted", "request_refused"]);

function lineOf({ type, outcome, reason }: AuditEvent): string {
  return [type, outcome, ...(reason === undefined ? [] : [reason])].join(" ");
}

function worldOf({ clock, mails, connection, calls }: Stage): World {
  const accounts = connection.collection<{ _id: string }>("polyfactor_accounts");
  return {
    wait(seconds) {
      clock.advance(1000 * seconds);
    },
    appCode: (secret, step) => totpCode(secret, clock, step),
    wrongCode: (secret) => wrongCode(secret, clock),
    async mailsTo(email) {
      return (await mails()).filter(({ to }) => to === email).map(({ kind }) => kind);
    },
    async mailedToken(email) {
      const [message] = (await mails()).filter(({ to, token }) => to === email && token).slice(-1);
      assert.ok(message?.token, `a token was mailed to ${email}`);
      return message.token;
    },
    async disableAccount({ username }) {
      const account = await accounts.findOne({ username });
      assert.ok(account);
      await calls.disable(account._id);
    },
  };
}
