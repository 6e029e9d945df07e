import type { TestContext } from "node:test";
import type { RequestHandler } from "express";
import { requireSession } from "../../lib/middleware/index.ts";
import { BackupCodeStrategy } from "../../strategies/backup-code.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { TotpStrategy } from "../../strategies/totp.ts";
import { openAuth, registerWithTotp, type Enrolled, type OpenedAuth } from "./auth.ts";
import {
  openHost,
  type Answer,
  type Browser,
  type HostApp,
  type HostOptions,
  type OpenHost,
} from "./passport-app.ts";

/** An app with hand-written routes on `createAuth`, and Alice, whose logins need a second factor. */
export interface Site extends OpenHost, OpenedAuth {
  readonly alice: Enrolled;
}

/** Where a test's own routes go: before the app's. */
export interface SiteOptions extends Partial<Omit<HostOptions, "routes">> {
  readonly routes?: (host: HostApp, opened: OpenedAuth) => void;
}

/** Says whom Passport logged in. */
export const tellUser: RequestHandler = (req, res) => {
  res.json({ user: req.user ?? null, authInfo: req.authInfo ?? null });
};

/** Opens the app: `/login` with a password, `/code` with any code, `/me` for all, `/vault` for a fresh second factor. */
export async function openSite(
  t: TestContext,
  { routes, ...options }: SiteOptions = {},
): Promise<Site> {
  const opened = await openAuth(t);
  const alice = await registerWithTotp(opened);
  const { auth } = opened;
  const host = await openHost(t, {
    ...options,
    routes(own) {
      const { app, passport, authenticate } = own;
      passport.use(new PasswordStrategy(auth, { tenant: "main", secondFactor: "/code" }));
      passport.use(new TotpStrategy(auth, { tenant: "main" }));
      passport.use(new BackupCodeStrategy(auth, { tenant: "main" }));
      routes?.(own, opened);
      app.post("/login", authenticate("password"), tellUser);
      app.post("/code", authenticate(["totp", "backup-code"]), tellUser);
      app.get("/me", tellUser);
      const vault = requireSession(auth, { tenant: "main", level: "aal2", maxAge: 300 });
      app.get("/vault", vault, (_req, res) => {
        res.json({ open: true });
      });
    },
  });
  return { ...opened, ...host, alice };
}

/** The first factor in a browser. */
export function typePassword(
  browser: Browser,
  { username, password }: Pick<Enrolled, "username" | "password">,
): Promise<Answer> {
  return browser.post("/login", { username, password });
}
