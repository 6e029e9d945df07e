import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { memoryRecords, type Progress } from "../../lib/index.ts";
import {
  authOf,
  beginLogin,
  requireSession,
  type RequireSessionOptions,
} from "../../lib/middleware/index.ts";
import {
  browser as context,
  logIn,
  openAuth,
  registerAlice,
  sessionIn,
  totpCode,
} from "../support/auth.ts";
import { settleDown, watchRejections } from "../support/failing.ts";
import { requestText, sendRaw } from "../support/listening.ts";
import {
  actingOn,
  enrolUser,
  openFactors,
  type EnrolledUser,
  type OpenedFactors,
} from "../support/host-users.ts";
import { frameworks, openHost, type OpenHost } from "../support/passport-app.ts";

const versions = Object.keys(frameworks) as (keyof typeof frameworks)[];
const realm = 'Bearer realm="polyfactor"';
const insufficient = `${realm}, error="insufficient_user_authentication"`;

interface Site extends OpenHost, OpenedFactors {
  readonly alice: EnrolledUser;
  /** An `Authorization` header for a login of Alice's. */
  readonly bearer: (progress: Progress) => Promise<{ readonly authorization: string }>;
  /** Logs Alice in, with or without a code of her app. */
  readonly begin: () => Promise<Progress>;
  readonly finish: (progress: Progress) => Promise<Progress>;
}

/** An app whose `/inside` asks for what the options say. */
async function openSite(
  t: TestContext,
  options: RequireSessionOptions = {},
  framework: keyof typeof frameworks = "Express 5",
): Promise<Site> {
  const opened = openFactors();
  const { factors, clock } = opened;
  const alice = await enrolUser(opened, "u1");
  const host = await openHost(t, {
    framework,
    routes({ app, plant }) {
      app.post("/plant", plant);
      app.get("/inside", requireSession(factors, options), (req, res) => {
        const { acting, ...told } = authOf(req);
        res.json({ ...told, actingFor: acting.subject });
      });
    },
  });
  return {
    ...host,
    ...opened,
    alice,
    begin: () => factors.begin("u1", { amr: ["pwd"] }, context),
    async finish(progress) {
      assert.ok(progress.status === "pending");
      const proof = { code: totpCode(alice.secret, clock) };
      return factors.submit(progress.ticket, { choice: { methods: ["totp"] }, proof }, context);
    },
    async bearer(progress) {
      const token = await factors.accessToken(progress.accountId, sessionIn(progress));
      return { authorization: `Bearer ${token}` };
    },
  };
}

/** The answer to somebody whose only factor is what the host checked. */
async function openOneFactor(t: TestContext, options: RequireSessionOptions): Promise<Site> {
  const site = await openSite(t, options);
  return { ...site, begin: () => site.factors.begin("u2", { amr: ["pwd"] }, context) };
}

for (const framework of versions) {
  test(`a bearer, and a host's session, say who is acting and how that was proved (${framework})`, async (t) => {
    const site = await openSite(t, { level: "aal2" }, framework);
    const progress = await site.finish(await site.begin());
    const { id } = sessionIn(progress);
    const browser = site.browser();
    await browser.post("/plant", { value: { subject: "u1", session: id } });

    const byBearer = await site.browser().get("/inside", await site.bearer(progress));
    const bySession = await browser.get("/inside");

    assert.deepEqual(byBearer.body, {
      accountId: "u1",
      tenant: "",
      sessionId: id,
      level: "aal2",
      amr: ["pwd", "otp", "mfa"],
      acr: "aal2",
      authTime: Math.floor(site.clock.clock().getTime() / 1000),
      actingFor: "u1",
    });
    assert.deepEqual(bySession.body, byBearer.body);
  });

  test(`RFC 6750: without a credential the challenge names no error (${framework})`, async (t) => {
    const site = await openSite(t, {}, framework);

    const answer = await site.browser().get("/inside");

    assert.deepEqual(
      [answer.status, answer.headers["www-authenticate"], answer.headers["cache-control"]],
      [401, realm, "no-store"],
    );
    assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json/);
    assert.deepEqual(answer.body, {
      type: "urn:polyfactor:problem:unauthenticated",
      title: "Authentication is required",
      status: 401,
      code: "unauthenticated",
    });
  });
}

test("RFC 6750: a token that is no token, altered, expired or of a session that has ended is an invalid one", async (t) => {
  const site = await openSite(t);
  const { factors, clock } = site;
  const progress = await site.finish(await site.begin());
  const { authorization } = await site.bearer(progress);
  const { get } = site.browser();

  const altered = [
    await get("/inside", { authorization: "Bearer nonsense" }),
    await get("/inside", { authorization: "Bearer two words" }),
    await get("/inside", { authorization: `${authorization.slice(0, -4)}AAAA` }),
  ];
  clock.advance(16 * 60_000);
  const expired = await get("/inside", { authorization });
  const renewed = await site.bearer(progress);
  const before = await get("/inside", renewed);
  await factors.revokeSessions(await actingOn(factors, progress), { keepOwn: false }, context);
  const ended = await get("/inside", renewed);

  const refused = [...altered, expired, ended];
  assert.equal(before.status, 200);
  assert.deepEqual([...new Set(refused.map(({ status }) => status))], [401]);
  assert.deepEqual(
    [...new Set(refused.map(({ headers }) => headers["www-authenticate"]))],
    [`${realm}, error="invalid_token"`],
  );
});

test("a bearer goes before the host's session, other schemes do not count", async (t) => {
  const site = await openSite(t);
  const { id } = sessionIn(await site.finish(await site.begin()));
  const browser = site.browser();
  await browser.post("/plant", { value: { subject: "u1", session: id } });

  const bad = await browser.get("/inside", { authorization: "Bearer nonsense" });
  const basic = await browser.get("/inside", { authorization: "Basic YTpi" });
  const empty = await browser.get("/inside", { authorization: "Bearer " });

  assert.deepEqual([bad.status, basic.status, empty.status], [401, 200, 200]);
});

test("JW-08: two Authorization headers are refused", async (t) => {
  const site = await openSite(t);
  const { authorization } = await site.bearer(await site.finish(await site.begin()));
  const { port } = new URL(site.origin);
  const twice = [`Authorization: ${authorization}`, `authorization: ${authorization}`];

  const once = await sendRaw(
    Number(port),
    requestText("GET", "/inside", { headers: twice.slice(1) }),
  );
  const answer = await sendRaw(Number(port), requestText("GET", "/inside", { headers: twice }));

  assert.deepEqual([once.status, answer.status], [200, 400]);
});

test("MC-01: a pending login in the host's session opens nothing, at no level", async (t) => {
  const site = await openSite(t, { level: "enrol" });
  const progress = await site.begin();
  assert.ok(progress.status === "pending");
  const { entry, ticket } = progress;
  const browser = site.browser();

  const statuses: number[] = [];
  for (const value of [
    { subject: "u1", pending: entry },
    { subject: "u1", session: entry },
    { subject: "u1", session: ticket },
  ]) {
    await browser.post("/plant", { value });
    statuses.push((await browser.get("/inside")).status);
  }
  statuses.push((await browser.get("/inside", { authorization: `Bearer ${ticket}` })).status);

  assert.deepEqual(statuses, [401, 401, 401, 401]);
});

test("MC-11: a session without the level is told which one, and how old the proof may be", async (t) => {
  const plain = await openOneFactor(t, { level: "aal2" });
  const aged = await openOneFactor(t, { level: "aal2", maxAge: 300 });

  const answers = await Promise.all(
    [plain, aged].map(async (site) =>
      site.browser().get("/inside", await site.bearer(await site.begin())),
    ),
  );

  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers["www-authenticate"]]),
    [
      [401, `${insufficient}, acr_values="aal2"`],
      [401, `${insufficient}, acr_values="aal2", max_age="300"`],
    ],
  );
  assert.equal(answers[0]?.body.code, "step_up_required");
});

test("MC-11, V7.5.3: a second factor is fresh for maxAge seconds, and a new one makes it fresh again", async (t) => {
  const site = await openSite(t, { level: "aal2", maxAge: 300 });
  const { factors, clock, alice } = site;
  const progress = await site.finish(await site.begin());
  const header = await site.bearer(progress);
  const { get } = site.browser();

  clock.advance(300_000);
  const last = await get("/inside", header);
  clock.advance(1);
  const late = await get("/inside", header);
  const acting = await actingOn(factors, progress);
  const proof = { code: totpCode(alice.secret, clock) };
  await factors.stepUp(acting, { choice: { methods: ["totp"] }, proof }, context);
  const again = await get("/inside", header);

  assert.deepEqual([last.status, late.status, again.status], [200, 401, 200]);
});

test("MC-11: a first factor given anew does not stand in for the second", async (t) => {
  const site = await openSite(t, { level: "aal2", maxAge: 300 });
  const old = await site.finish(await site.begin());
  site.clock.advance(301_000);

  const anew = await site.begin();
  const answer = await site.browser().get("/inside", await site.bearer(old));

  assert.equal(anew.status, "pending");
  assert.match(answer.headers["www-authenticate"] ?? "", /insufficient_user_authentication/);
});

test("maxAge at one factor asks for a login of that age, and for a class that there is", async (t) => {
  const one = await openOneFactor(t, { maxAge: 60 });
  const enrol = await openOneFactor(t, { level: "enrol", maxAge: 60 });

  const answers = await Promise.all(
    [one, enrol].map(async (site) => {
      const header = await site.bearer(await site.begin());
      const { get } = site.browser();
      const fresh = await get("/inside", header);
      site.clock.advance(61_000);
      const old = await get("/inside", header);
      return [fresh.status, old.status, old.headers["www-authenticate"]];
    }),
  );

  const refused = [200, 401, `${insufficient}, acr_values="aal1", max_age="60"`];
  assert.deepEqual(answers, [refused, refused]);
});

test("SE-05: after an hour idle the second factor no longer counts", async (t) => {
  const site = await openSite(t, { level: "aal2" });
  const progress = await site.finish(await site.begin());
  const { get } = site.browser();
  const before = await get("/inside", await site.bearer(progress));
  site.clock.advance(61 * 60_000);

  const answer = await get("/inside", await site.bearer(progress));
  const again = await get("/inside", await site.bearer(progress));

  assert.equal(before.status, 200);
  assert.deepEqual([answer.body.code, again.body.code], ["step_up_required", "step_up_required"]);
});

test("a session that may only enrol is refused with 403, and let in where that is enough", async (t) => {
  const { factors } = openFactors(memoryRecords(), { policy: { secondFactor: "required" } });
  const host = await openHost(t, {
    routes({ app }) {
      app.post("/login", async (req, res) => {
        const { status } = await beginLogin(req, factors, "u3");
        res.json({ status });
      });
      for (const level of ["enrol", "aal1", "aal2"] as const) {
        app.get(`/${level}`, requireSession(factors, { level }), (req, res) => {
          res.json({ level: authOf(req).level });
        });
      }
    },
  });
  const browser = host.browser();
  await browser.post("/login");

  const answers = [
    await browser.get("/enrol"),
    await browser.get("/aal1"),
    await browser.get("/aal2"),
  ];

  assert.deepEqual(
    answers.map(({ status, body }) => [status, body.code ?? body.level]),
    [
      [200, "enrol"],
      [403, "enrolment_required"],
      [403, "enrolment_required"],
    ],
  );
  assert.equal(answers[1]?.headers["www-authenticate"], undefined);
});

test("MT-01: a token and a session of one tenant are nobody's in another", async (t) => {
  const { auth, calls } = await openAuth(t);
  const alice = await registerAlice(calls);
  const progress = await logIn(calls, alice);
  const token = await calls.accessToken(alice.id, sessionIn(progress));
  const host = await openHost(t, {
    routes({ app, plant }) {
      app.post("/plant", plant);
      for (const tenant of ["main", "other"]) {
        app.get(`/${tenant}`, requireSession(auth, { tenant }), (req, res) => {
          res.json({ tenant: authOf(req).tenant });
        });
      }
    },
  });
  const browser = host.browser();
  await browser.post("/plant", { value: { subject: alice.id, session: sessionIn(progress).id } });
  const header = { authorization: `Bearer ${token}` };
  const { get } = host.browser();

  const answers = [
    await get("/main", header),
    await get("/other", header),
    await browser.get("/main"),
    await browser.get("/other"),
  ];

  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 401, 200, 401],
  );
  assert.deepEqual(answers[0]?.body, { tenant: "main" });
});

test("FT-03: where the store fails the answer is 503 with a time to come back, and nothing of the fault", async (t) => {
  const inner = memoryRecords();
  const { factors } = openFactors({
    ...inner,
    read: () => Promise.reject(new Error("mongodb://user:secret@db.internal is down")),
  });
  const host = await openHost(t, {
    routes({ app, plant }) {
      app.post("/plant", plant);
      app.get("/inside", requireSession(factors), (_req, res) => {
        res.json({});
      });
    },
  });
  const browser = host.browser();
  await browser.post("/plant", { value: { subject: "u1", session: "AAAAAAAAAAAA" } });

  const answer = await browser.get("/inside");

  assert.deepEqual([answer.status, answer.headers["retry-after"]], [503, "1"]);
  assert.deepEqual(answer.body, {
    type: "urn:polyfactor:problem:unavailable",
    title: "Temporarily unavailable",
    status: 503,
    code: "unavailable",
  });
});

test("EX-05: a policy that throws is a 503 of its request", async (t) => {
  let broken = false;
  const secondFactor = () => {
    if (broken) throw new Error("a bug of the host's");
    return "optional" as const;
  };
  const { factors } = openFactors(memoryRecords(), { policy: { secondFactor } });
  const progress = await factors.begin("u1", {}, context);
  const token = await factors.accessToken("u1", sessionIn(progress));
  const unhandled = watchRejections(t);
  const host = await openHost(t, {
    routes({ app }) {
      app.get("/inside", requireSession(factors), (_req, res) => {
        res.json({});
      });
    },
  });
  broken = true;

  const answer = await host.browser().get("/inside", { authorization: `Bearer ${token}` });

  await settleDown();
  assert.equal(answer.status, 503);
  assert.deepEqual(unhandled, []);
});

test("CR-04: a level, an age or a tenant that is none is a TypeError at start", () => {
  const { factors } = openFactors();
  const auth = { tenant: () => assert.fail("no tenant was given") } as never;
  const wrong = [{ level: "aal3" }, { maxAge: 0 }, { maxAge: 1.5 }, { maxAge: "60" }] as object[];

  const messages = wrong.map((options) => {
    try {
      requireSession(factors, options);
      return "accepted";
    } catch (error) {
      return error instanceof TypeError ? error.message : "no TypeError";
    }
  });

  assert.deepEqual(messages, [
    'requireSession.level: "enrol", "aal1" or "aal2"',
    ...Array<string>(3).fill("requireSession.maxAge: a whole number of seconds above 0"),
  ]);
  assert.throws(() => requireSession(auth), { name: "TypeError", message: /^tenant: / });
});

test("authOf without requireSession is a refusal, not undefined", () => {
  assert.throws(() => authOf({} as never), { name: "AuthError", code: "unauthenticated" });
});
