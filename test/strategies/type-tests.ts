// Compiled, never run: what must not compile stands below `@ts-expect-error`, which fails where it does.
import type { Request } from "express";
import passport from "passport";
import type { Auth, Factors, Progress } from "../../lib/index.ts";
import { authOf, type AuthInfo } from "../../lib/middleware/index.ts";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy, type FailureInfo } from "../../strategies/password.ts";
import { TotpStrategy, type LoginInfo, type SubjectUser } from "../../strategies/totp.ts";

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;

interface HostUser {
  readonly number: number;
}

/** What the `user` option answers with is what the strategy is a strategy of. */
export function strategiesAreGenericInTheirUser(factors: Factors, found: HostUser): void {
  const plain: TotpStrategy = new TotpStrategy(factors);
  const own: TotpStrategy<HostUser> = new TotpStrategy(factors, { user: () => found });
  const later = new PasswordStrategy(factors, { user: () => Promise.resolve(found) });
  const perhaps: BackupCodeStrategy<HostUser> = new BackupCodeStrategy(factors, {
    user: (subject: string, req: Request) => (subject === req.path ? found : null),
  });
  const stated: PasswordStrategy<HostUser> = later;
  const id: SubjectUser = { id: "u1" };

  // @ts-expect-error a `user` option that gives something else
  new TotpStrategy<HostUser>(factors, { user: () => ({ name: "Uma" }) });
  // @ts-expect-error a `user` option that is given a number
  new TotpStrategy<HostUser>(factors, { user: (subject: number) => ({ number: subject }) });
  for (const strategy of [plain, own, perhaps, stated]) passport.use(id.id, strategy);
}

/** The typed way in of each of them. */
export const attemptsAnswerHowFarTheLoginIs: readonly [
  Same<ReturnType<PasswordStrategy["attempt"]>, Promise<Progress>>,
  Same<ReturnType<TotpStrategy["attempt"]>, Promise<Progress>>,
  Same<ReturnType<BackupCodeStrategy["attempt"]>, Promise<Progress>>,
] = [true, true, true];

export async function attemptsTakeWhatACallerHasParsed(
  req: Request,
  password: PasswordStrategy,
  totp: TotpStrategy,
): Promise<readonly Progress[]> {
  // @ts-expect-error a ticket alone
  await totp.attempt(req, { ticket: "ticket" });
  // @ts-expect-error a password without a name
  await password.attempt(req, { password: "a password" });
  return [
    await password.attempt(req),
    await password.attempt(req, { name: "alice", password: "a password" }),
    await totp.attempt(req, { ticket: "ticket", proof: { code: "123456" } }),
    await totp.attempt(req, { context: { ip: "192.0.2.1" } }),
  ];
}

/** A host declares its own `Express.User`; this library adds nothing to it, nor to a request. */
export const nothingIsAugmented: readonly [
  Same<keyof Express.User, never>,
  Same<"auth" extends keyof Request ? true : false, false>,
] = [true, true];

export function authIsTyped(req: Request): string {
  // @ts-expect-error only `authOf` knows what requireSession has put there
  const unknown: unknown = req.auth;
  const info: AuthInfo = authOf(req);
  return `${info.accountId} ${info.level} ${info.amr.join()} ${info.authTime + 1} ${String(unknown)}`;
}

/** What Passport hands on, for callbacks that look into it. */
export function toldIsTyped(failure: FailureInfo, { acr, auth_time }: LoginInfo): string {
  const { message, code, progress } = failure;
  const ticket = progress?.status === "pending" ? progress.ticket : "";
  return [message, code, ticket, acr, auth_time + 1].join();
}

export function bothKindsOfCoreAreTaken(auth: Auth, factors: Factors): void {
  new TotpStrategy(auth, { tenant: "main" });
  new TotpStrategy(factors);
  // @ts-expect-error an option that there is not
  new TotpStrategy(factors, { codefield: "otp" });
  // @ts-expect-error a connection is no core
  new TotpStrategy("mongodb://127.0.0.1");
}
