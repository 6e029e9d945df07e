import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alice,
  bob,
  enrol,
  openFamily,
  register,
  registerAndLogIn,
  registerEnrolled,
  type Answer,
  type OpenedFamily,
} from "../../support/auth-framework.ts";

/** Everything that a stranger sees of an answer, but the time. */
function seen({ status, headers, text }: Answer): object {
  const masked = [...headers].filter(([name]) => name !== "date");
  return { status, headers: Object.fromEntries(masked), text };
}

const wrong = "a password that is nobody's at all";

/** Names in every state that a login refuses, with the password that is tried. */
async function refusedNames(family: OpenedFamily): Promise<Record<string, [string, string]>> {
  const person = (username: string) => ({ ...alice, username, email: `${username}@example.org` });
  const disabled = await register(family, person("disabled"));
  await register(family, person("known"));
  await enrol(family, await registerAndLogIn(family, person("secured")));
  await family.calls.disable(disabled);
  await family.calls.import({ username: "without", email: "without@example.org" });
  await family.auth.tenant("other").register(person("elsewhere"), {});
  return {
    "an unknown name": ["nobody", wrong],
    "an unknown address": ["nobody@example.net", wrong],
    "a wrong password": ["known", wrong],
    "a wrong password beside a second factor": ["secured", wrong],
    "a disabled account": ["disabled", alice.password],
    "a disabled account and a wrong password": ["disabled", wrong],
    "an account of another tenant": ["elsewhere", alice.password],
    "an account without password": ["without", wrong],
  };
}

test("EN-01, EN-06: login answers one byte-identical refusal, whatever is wrong", async (t) => {
  const family = await openFamily(t);
  const names = await refusedNames(family);
  const answers: Record<string, object> = {};

  for (const [state, [username, password]] of Object.entries(names)) {
    const { verified } = family.hasher;
    answers[state] = seen(await family.post("/auth/login", { username, password }));
    assert.equal(family.hasher.verified - verified, 1, `EN-02: one hash for ${state}`);
  }

  const [first] = Object.values(answers);
  assert.ok(first);
  for (const [state, answer] of Object.entries(answers)) assert.deepEqual(answer, first, state);
});

test("EN-01: an unverified address is refused like a wrong password where the host forbids its login", async (t) => {
  const family = await openFamily(t, { auth: { policy: { verifiedToLogIn: true } } });
  await register(family);
  const { username, password } = alice;

  const unverified = await family.post("/auth/login", { username, password });
  const unknown = await family.post("/auth/login", { username: "nobody", password });

  assert.deepEqual(seen(unverified), seen(unknown));
});

test("EN-04: thirty failures are answered alike for a known and an unknown name, header for header", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const failures = async (username: string): Promise<object[]> => {
    const answers: object[] = [];
    while (answers.length < 30) {
      answers.push(seen(await family.post("/auth/login", { username, password: wrong })));
      if (answers.length % 3 === 0) family.clock.advance(1000);
    }
    return answers;
  };

  const known = await failures("alice");
  const unknown = await failures("nobody");

  assert.deepEqual(known, unknown);
  assert.deepEqual(
    new Set(known.map((answer) => (answer as { status: number }).status)),
    new Set([401, 429]),
  );
});

test("EN-04: the right password is refused like a wrong one while an account is over budget, without a hash", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const attempt = (password: string) => family.post("/auth/login", { username: "alice", password });
  for (let failure = 0; failure < 5; failure += 1) await attempt(wrong);
  const { verified } = family.hasher;

  const right = await attempt(alice.password);
  const another = await attempt(wrong);

  assert.equal(right.status, 429);
  assert.deepEqual(seen(right), seen(another));
  assert.equal(family.hasher.verified, verified);
});

test("EN-03: resend-verification has one answer for unknown, known, confirmed and disabled addresses, mails one, and waits for none", async (t) => {
  let deliver: () => void = () => undefined;
  const stuck = new Promise<void>((resolve) => {
    deliver = resolve;
  });
  const sent: string[] = [];
  const family = await openFamily(t, {
    auth: {
      delivery: {
        async deliver({ to }) {
          sent.push(to);
          await stuck;
        },
      },
    },
  });
  t.after(deliver);
  await register(family);
  const id = await register(family, bob);
  await family.calls.disable(id);
  await family.calls.import({ username: "carol", email: "carol@example.org", emailVerified: true });
  family.clock.advance(60_000);
  sent.length = 0;

  const emails = [alice.email, "nobody@example.org", bob.email, "carol@example.org"];
  const answers = [];
  for (const email of emails)
    answers.push(await family.post("/auth/resend-verification", { email }));
  deliver();
  await family.auth.close();

  for (const answer of answers) assert.deepEqual(seen(answer), seen(answers[0] as Answer));
  assert.equal(answers[0]?.data.sent, true);
  assert.deepEqual(sent, [alice.email]);
});

test("EN-03: a changed address is answered alike whether it is free or somebody else's", async (t) => {
  const family = await openFamily(t);
  const { access: token } = await registerAndLogIn(family);
  await register(family, bob);
  const change = (email: string) =>
    family.call("PUT", "/users/profile", { body: { email }, token });

  const free = await change("free@example.org");
  const taken = await change(bob.email);

  assert.equal(free.status, 200);
  assert.deepEqual(seen(taken), seen(free));
  assert.deepEqual(
    (await family.mails()).filter(({ to }) => to === bob.email).map(({ kind }) => kind),
    ["verify_email", "address_in_use"],
  );
});

test("EN-06: the answer that asks for a second factor names a type and no address", async (t) => {
  const family = await openFamily(t);
  await registerEnrolled(family);
  const { username, password } = alice;

  const { error, text } = await family.post("/auth/login", { username, password });

  assert.deepEqual(Object.keys(error.details ?? {}).sort(), [
    "challenge_id",
    "expires_at",
    "message",
    "mfa_type",
  ]);
  assert.doesNotMatch(text, /alice|example\.org/);
});

test("TH-07: the spellings of one name share one budget, or are refused as no name", async (t) => {
  const family = await openFamily(t);
  await register(family);
  const spellings = [
    "alice",
    "ALICE",
    " alice ",
    "alice@example.org",
    "ALICE@EXAMPLE.ORG",
    "ａlice",
  ];
  const statuses: number[] = [];

  for (const username of spellings) {
    const { status } = await family.post("/auth/login", { username, password: wrong });
    statuses.push(status);
  }
  const next = await family.post("/auth/login", { username: "alice", password: alice.password });

  assert.deepEqual(statuses, [401, 401, 401, 401, 401, 400]);
  assert.equal(next.status, 429);
});

test("TH-05: a stranger's thousandfold wrong passwords do not touch the second factor's budget", async (t) => {
  const family = await openFamily(t);
  const { id, access } = await registerEnrolled(family);
  const attempt = () => family.post("/auth/login", { username: "alice", password: wrong });

  for (let failure = 0; failure < 30; failure += 1) {
    await attempt();
    family.clock.advance(1000);
  }

  const { budgets } = await family.account(id);
  assert.equal(budgets?.second?.fails, 0);
  assert.ok((budgets.password?.fails ?? 0) >= 5);
  assert.equal((await family.get("/auth/validate", { token: access })).status, 200);
});
