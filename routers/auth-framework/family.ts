import type { Calls } from "../../lib/calls.ts";
import type { Session } from "../../lib/core.ts";
import type { CodeStrategy } from "../../strategies/code-strategy.ts";
import type { PasswordStrategy } from "../../strategies/password.ts";

/** What an account may do, as this family's clients are told. */
export interface Authorities {
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

/** An external login that `providers` lists. */
export interface ExternalProvider {
  readonly name: string;
  readonly displayName: string;
  readonly authUrl: string;
}

/** What the routes of this family work with. */
export interface FamilyParts {
  readonly calls: Calls;
  readonly password: PasswordStrategy<unknown> | undefined;
  readonly codes: readonly CodeStrategy<unknown>[];
  readonly authorities: (account: {
    readonly id: string;
    readonly username: string;
  }) => Authorities;
  readonly providers: readonly ExternalProvider[];
}

/** Seconds that an access token of this family lives. */
export const EXPIRES_IN = 3600;

/** The user as this family tells it. */
export function userInfo(
  { authorities }: FamilyParts,
  id: string,
  username: string,
): { id: string; username: string } & Authorities {
  return { id, username, ...authorities({ id, username }) };
}

/** An access token with this family's claims. */
export function accessToken(
  { calls }: FamilyParts,
  accountId: string,
  session: Session,
  roles: readonly string[],
): Promise<string> {
  const claims = { scope: roles.join(" ") };
  return calls.accessToken(accountId, session, { claims, lifetime: EXPIRES_IN });
}
