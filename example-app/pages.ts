import { Router, type RequestHandler } from "express";
import { AuthError, type Auth, type Context } from "polyfactor";
import { contextOf, problemOf } from "polyfactor/middleware";

const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** A page of the app. `body` is ours, or was escaped. */
export function page(title: string, body: string, script?: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<link rel="stylesheet" href="/app.css">
${script === undefined ? "" : `<script type="module" src="${script}"></script>`}
<main>
<h1>${title}</h1>
${body}
</main>
</html>
`;
}

const FORM = `<p id="outcome" role="status">This takes one click.</p>
<form id="spend"><button>Confirm</button></form>`;

// The token stands in the fragment, which no server sees, and is spent by a click and a POST (RT-08).
const SCRIPT = `const given = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname);
document.querySelector("#spend").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch(location.pathname, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token: given.get("token"), tenant: given.get("tenant") }),
  });
  const later = answer.status === 429 || answer.status >= 500;
  document.querySelector("#outcome").textContent = answer.ok
    ? "Done. You can close this page."
    : later ? "Not now. Try again in a moment." : "This link is no longer valid. Ask for a new one.";
  document.querySelector("#spend").hidden = !later;
});
`;

const STYLE = `body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem}
pre{background:#f4f4f4;color:#111;overflow-x:auto;padding:1rem;white-space:pre-wrap}button{font:inherit;padding:.5rem 1rem}`;

const HOME = `<p>This app speaks the auth-framework API for the tenant <code>acme</code>.</p>
<ul>
<li><a href="/api/openapi.json">OpenAPI document</a></li>
<li><a href="/outbox">Outbox: mails that were sent</a></li>
<li><a href="/healthz">Health</a></li>
</ul>`;

/** The pages that mailed links open, and what they post to. */
export function pages(auth: Auth, tenants: readonly string[], json: RequestHandler): Router {
  const router: Router = Router();
  router.use((_req, res, next) => {
    res.set({
      "Content-Security-Policy": CSP,
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    next();
  });
  router.get("/", (_req, res) => void res.send(page("polyfactor", HOME)));
  router.get("/app.css", (_req, res) => void res.type("css").send(STYLE));
  router.get("/spend.js", (_req, res) => void res.type("js").send(SCRIPT));

  const spend = (
    path: string,
    title: string,
    act: (given: { tenant: string; token: string }, context: Context) => Promise<unknown>,
  ): void => {
    router.get(path, (_req, res) => void res.send(page(title, FORM, "/spend.js")));
    router.post(path, json, (req, res) => {
      const { token, tenant } = (req.body ?? {}) as Record<string, unknown>;
      const known =
        typeof tenant === "string" && tenants.includes(tenant) && typeof token === "string";
      (known
        ? act({ tenant, token }, contextOf(req))
        : Promise.reject(new AuthError("invalid_mailed_token"))
      ).then(
        () => void res.json({ done: true }),
        (error: unknown) => {
          const { status, headers, body } = problemOf(error);
          res.status(status).set(headers).send(JSON.stringify(body));
        },
      );
    });
  };
  spend("/verify-email", "Confirm your e-mail address", ({ tenant, token }, context) =>
    auth.tenant(tenant).verifyEmail(token, context),
  );
  spend("/unlock", "Switch your password on again", ({ tenant, token }, context) =>
    auth.tenant(tenant).unlockByToken(token, context),
  );
  return router;
}
