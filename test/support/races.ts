import { createAuth, type Calls } from "../../lib/index.ts";
import { mongooseStore } from "../../lib/store/mongoose.ts";
import { logIn, ticketIn, type OpenedAuth } from "./auth.ts";

/** Races of one kind. */
export const ROUNDS = 20;
/** Requests that race each other. */
export const AT_ONCE = 50;
/** As many pending logins as one account can have at a time. */
export const LIVE_TICKETS = 10;

/** The same race again and again, each time on an account of its own. */
export async function inRounds<T>(
  race: (username: string) => Promise<T>,
  rounds = ROUNDS,
): Promise<readonly T[]> {
  const outcomes: T[] = [];
  for (let round = 0; round < rounds; round += 1) outcomes.push(await race(`racer-${round}`));
  return outcomes;
}

/** What is expected when every round comes to the same. */
export function everyRound<T>(outcome: T, rounds = ROUNDS): T[] {
  return Array.from({ length: rounds }, () => outcome);
}

/** How many of a tally won. */
export const winners = ({ ok = 0 }: Readonly<Record<string, number>>): number => ok;

/** Names for a racer. */
export const named = (username: string) => ({ username, email: `${username}@example.org` });

/** Tickets of logins that wait for their second factor, all at the same time. */
export async function pendingLogins(
  calls: Calls,
  person: { readonly username: string; readonly password: string },
  count = LIVE_TICKETS,
): Promise<readonly string[]> {
  const tickets: string[] = [];
  while (tickets.length < count) tickets.push(ticketIn(await logIn(calls, person)));
  return tickets;
}

/** The items in turn. */
export const at = <T>(items: readonly T[], index: number): T => items[index % items.length] as T;

/** Two processes of one app: two instances on the same database. */
export function twoInstances({
  calls,
  options,
  connection,
  beforeClose,
}: OpenedAuth): [Calls, Calls] {
  const second = createAuth({ ...options, store: mongooseStore(connection) });
  beforeClose(() => second.close());
  return [calls, second.tenant("main")];
}
