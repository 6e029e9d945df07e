import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryRecords } from "../../lib/index.ts";
import { actingIn, beginLogin, type SessionRequest } from "../../lib/middleware/index.ts";
import { refusal } from "../support/auth.ts";
import { enrolUser, openFactors } from "../support/host-users.ts";

/** A request with a session as express-session gives it, without a store. */
function requestWith(session?: object): SessionRequest {
  const req: SessionRequest = { headers: {}, rawHeaders: [], method: "POST" };
  if (session !== undefined) req.session = session;
  return req;
}

function sessionOf(req: () => SessionRequest, content: object = {}): object {
  const quiet = { configurable: true, enumerable: false, writable: true };
  return Object.defineProperties(
    { ...content },
    {
      regenerate: {
        ...quiet,
        value(done: () => void) {
          req().session = sessionOf(req);
          done();
        },
      },
      save: {
        ...quiet,
        value: (done: () => void) => {
          done();
        },
      },
    },
  );
}

test("beginLogin without a session of the host's is refused, and the pending login is nobody's", async () => {
  const opened = openFactors();
  await enrolUser(opened, "u1");

  const codes = [
    await refusal(beginLogin(requestWith(), opened.factors, "u1")),
    await refusal(
      beginLogin(requestWith({ id: "a session of cookie-session" }), opened.factors, "u1"),
    ),
  ];

  assert.deepEqual(codes, ["unavailable", "unavailable"]);
});

test("SE-03, SE-10: beginLogin drops what was in the session and leaves two ids", async () => {
  const opened = openFactors();
  await enrolUser(opened, "u1");
  const req = requestWith();
  req.session = sessionOf(() => req, {
    basket: ["tea"],
    polyfactor: { subject: "u2", session: "x" },
  });

  const progress = await beginLogin(req, opened.factors, "u1");

  assert.ok(progress.status === "pending");
  assert.deepEqual(req.session, { polyfactor: { subject: "u1", pending: progress.entry } });
});

test("a host that vouches states how the first factor was proved", async () => {
  const { factors } = openFactors();
  const req = requestWith();
  req.session = sessionOf(() => req);

  const progress = await beginLogin(req, factors, "u1", { amr: ["hwk", "user"] });

  assert.ok(progress.status === "complete");
  assert.deepEqual(progress.session.amr, ["hwk", "user"]);
});

test("SE-06: a session that was ended in the record has nobody acting in it", async () => {
  const { factors } = openFactors();
  const req = requestWith();
  req.session = sessionOf(() => req);
  await beginLogin(req, factors, "u1");
  const acting = await actingIn(req, factors);
  assert.ok(acting);
  await factors.revokeSession(acting, acting.sessionId, {});

  const code = await refusal(actingIn(req, factors));

  assert.equal(code, "invalid_token");
});

test("nobody acts in a session that is pending, or without one", async () => {
  const opened = openFactors(memoryRecords());
  await enrolUser(opened, "u1");
  const req = requestWith();
  req.session = sessionOf(() => req);
  await beginLogin(req, opened.factors, "u1");

  const acting = [
    await actingIn(req, opened.factors),
    await actingIn(requestWith(), opened.factors),
  ];

  assert.deepEqual(acting, [undefined, undefined]);
});
