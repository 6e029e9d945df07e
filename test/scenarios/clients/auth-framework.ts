import assert from "node:assert/strict";
import type { Answer, Client, SessionRow } from "../../support/auth-framework.ts";
import type { Login, Outcome, Person, Refusal, ScenarioClient, Held } from "../client.ts";

interface Session {
  readonly access: string;
  readonly refresh: string;
}

interface Pending {
  readonly person: Person;
  readonly challenge: string;
}

/** The family's words for each refusal; those that a scenario never meets are missing. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
  INVALID_CREDENTIALS: "wrong",
  MFA_INVALID_CODE: "wrong",
  MFA_UNAUTHORIZED: "wrong",
  ACCOUNT_LOCKED: "later",
  RATE_LIMIT_EXCEEDED: "later",
  MISSING_TOKEN: "logged_out",
  INVALID_TOKEN: "logged_out",
  ACCOUNT_DEACTIVATED: "logged_out",
  MFA_REQUIRED: "second_factor",
  FORBIDDEN: "must_enrol",
  CONFLICT: "mandatory",
  NOT_FOUND: "missing",
  USER_EXISTS: "taken",
  VALIDATION_ERROR: "invalid",
};

function refusalIn({ error, text }: Answer): Refusal {
  const refusal = REFUSALS[error.code];
  assert.ok(refusal, `the scenarios know the refusal ${text}`);
  return refusal;
}

function outcomeOf(answer: Answer): Outcome {
  return answer.status === 200 ? "done" : refusalIn(answer);
}

function done(answer: Answer): Answer {
  assert.equal(answer.status, 200, answer.text);
  return answer;
}

const bearer = (session: Held): { token: string } => ({ token: (session as Session).access });

/** auth-framework 0.5: bearer tokens, and "second factor needed" is an error of the login. */
export function authFrameworkClient(wire: Client): ScenarioClient {
  const login = async (person: Person, second: object = {}): Promise<Login> => {
    const { username, password } = person;
    const answer = await wire.post("/auth/login", { username, password, ...second });
    const { status, data, error } = answer;
    if (status === 200) {
      const session: Session = { access: data.access_token, refresh: data.refresh_token };
      return { state: "complete", session };
    }
    if (error.code !== "MFA_REQUIRED") return { state: "refused", why: refusalIn(answer) };
    const pending: Pending = { person, challenge: String(error.details?.challenge_id) };
    return { state: "pending", pending };
  };

  return {
    register: async (person) => outcomeOf(await wire.post("/auth/register", person)),
    login: (person) => login(person),
    finishLogin(pending, code) {
      const { person, challenge } = pending as Pending;
      return login(person, { challenge_id: challenge, mfa_code: code });
    },
    isLive: async (session) => (await wire.get("/auth/validate", bearer(session))).status === 200,
    async renew(session) {
      const { refresh } = session as Session;
      const answer = await wire.post("/auth/refresh", { refresh_token: refresh });
      if (answer.status !== 200) return { state: "refused", why: refusalIn(answer) };
      const renewed: Session = { access: answer.data.access_token, refresh };
      return { state: "complete", session: renewed };
    },
    logout: async (session) =>
      outcomeOf(await wire.post("/auth/logout", undefined, bearer(session))),
    async enrolTotp(session) {
      const answer = await wire.post("/mfa/setup", undefined, bearer(session));
      if (answer.status !== 200) return refusalIn(answer);
      return { secret: answer.data.secret, backupCodes: answer.data.backup_codes };
    },
    confirmTotp: async (session, code) =>
      outcomeOf(await wire.post("/mfa/verify", { totp_code: code }, bearer(session))),
    async status(session) {
      const { data } = done(await wire.get("/mfa/status", bearer(session)));
      return { enabled: data.enabled, backupCodesLeft: data.backup_codes_remaining };
    },
    useBackupCode: async (session, code) =>
      outcomeOf(await wire.post("/mfa/verify-backup-code", { backup_code: code }, bearer(session))),
    async replaceBackupCodes(session) {
      const answer = await wire.post("/mfa/regenerate-backup-codes", undefined, bearer(session));
      return answer.status === 200 ? (answer.list as string[]) : refusalIn(answer);
    },
    disable: async (session, { password, code }) =>
      outcomeOf(await wire.post("/mfa/disable", { password, totp_code: code }, bearer(session))),
    changePassword: async (session, { current, next }) =>
      outcomeOf(
        await wire.post(
          "/users/change-password",
          { current_password: current, new_password: next },
          bearer(session),
        ),
      ),
    changeEmail: async (session, email) =>
      outcomeOf(await wire.call("PUT", "/users/profile", { body: { email }, ...bearer(session) })),
    async address(session) {
      const { data } = done(await wire.get("/users/profile", bearer(session)));
      return { email: data.email, verified: data.email_verified };
    },
    verifyEmail: async (token) => outcomeOf(await wire.post("/auth/verify-email", { token })),
    async sessions(session) {
      const { list } = done(await wire.get("/users/sessions", bearer(session)));
      return (list as SessionRow[]).map(({ id, is_current }) => ({ id, current: is_current }));
    },
    endSession: async (session, id) =>
      outcomeOf(await wire.call("DELETE", `/users/sessions/${id}`, bearer(session))),
  };
}
