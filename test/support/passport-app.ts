import type { TestContext } from "node:test";
import express from "express";
import expressSession from "express-session";
// @ts-expect-error version 4 comes without types, and has what is used here
import express4 from "express4";
import passport, {
  type AuthenticateCallback,
  type AuthenticateOptions,
  type Strategy,
} from "passport";
import supertest from "supertest";
import { listen } from "./listening.ts";

/** The frameworks that a host may have. */
export const frameworks = {
  "Express 5": express,
  "Express 4": express4 as typeof express,
} as const;

/** A host's app with Passport, on a socket. */
export interface HostApp {
  readonly app: express.Express;
  readonly passport: InstanceType<typeof passport.Authenticator>;
  /** `passport.authenticate`, typed as the middleware that it is. */
  readonly authenticate: (
    strategy: string | string[] | Strategy,
    options?: AuthenticateOptions,
    callback?: AuthenticateCallback,
  ) => express.RequestHandler;
  /** Puts a value under our key into the session, as a store that is not ours alone may hold it. */
  readonly plant: express.RequestHandler;
}

/** What a host's app is made of. */
export interface HostOptions {
  readonly framework?: keyof typeof frameworks;
  /** `false`: an app without sessions. */
  readonly store?: expressSession.Store | false;
  /** What the session keeps of a user. @default the user */
  readonly serializers?: Serializers;
  /** Puts in what is to stand between the session and the routes. */
  readonly routes: (host: HostApp) => void;
}

/** A host's two functions for Passport. */
export interface Serializers {
  readonly serialize: (user: Express.User) => unknown;
  readonly deserialize: (stored: unknown) => Express.User | undefined;
}

const asItIs: Serializers = {
  serialize: (user) => user,
  deserialize: (stored) => stored as Express.User,
};

/** What came of an app, and the ways to it. */
export interface OpenHost {
  readonly origin: string;
  /** A new browser, without cookies. */
  readonly browser: () => Browser;
  /** What the session store holds, by session id. */
  stored(): Promise<Readonly<Record<string, StoredSession>>>;
}

/** A session as it lies in the store. */
export interface StoredSession {
  readonly polyfactor?: Readonly<Record<string, unknown>>;
  readonly passport?: { readonly user?: unknown };
  readonly [key: string]: unknown;
}

/** An answer, as far as tests look at it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  readonly text: string;
  /** The session id in its cookie; undefined where it sets none. */
  readonly sid: string | undefined;
}

/** Keeps cookies. */
export interface Browser {
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Promise<Answer>;
  readonly post: (path: string, body?: object) => Promise<Answer>;
}

/** Wide open: what it was told stands in the answer. */
const tellError: express.ErrorRequestHandler = (error: unknown, _req, res, next) => {
  if (res.headersSent) {
    next(error);
    return;
  }
  const { status = 500, headers = {}, message, code } = error as Partial<Told>;
  res.status(status).set(headers).json({ error: message, code });
};

interface Told {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly message: string;
  readonly code: string;
}

/** Opens an app as a developer would write it: parser, session, Passport, routes, error handler. */
export async function openHost(
  t: TestContext,
  {
    framework = "Express 5",
    store = new expressSession.MemoryStore(),
    serializers = asItIs,
    routes,
  }: HostOptions,
): Promise<OpenHost> {
  const app = frameworks[framework]();
  const authenticator = new passport.Authenticator();
  authenticator.serializeUser((user, done) => {
    done(null, serializers.serialize(user));
  });
  authenticator.deserializeUser((stored, done) => {
    done(null, serializers.deserialize(stored));
  });
  app.use(frameworks[framework].json());
  if (store !== false) {
    app.use(
      expressSession({
        secret: "a secret for tests",
        name: "sid",
        resave: false,
        saveUninitialized: false,
        store,
      }),
    );
    app.use(authenticator.session());
  }
  routes({
    app,
    passport: authenticator,
    authenticate: (strategy, options = {}, callback) =>
      authenticator.authenticate(strategy, options, callback) as express.RequestHandler,
    plant(req, res) {
      Object.assign(req.session, { polyfactor: (req.body as { value: unknown }).value });
      res.json({});
    },
  });
  app.use(tellError);

  const { origin } = await listen(t, app);
  return {
    origin,
    browser: () => openBrowser(origin),
    stored: () => allIn(store as expressSession.MemoryStore),
  };
}

function openBrowser(origin: string): Browser {
  const agent = supertest.agent(origin);
  return {
    get: async (path, headers = {}) => read(await agent.get(path).set(headers).redirects(0)),
    post: async (path, body = {}) => read(await agent.post(path).send(body).redirects(0)),
  };
}

function read({ status, headers, body, text }: supertest.Response): Answer {
  const [cookie = ""] = (headers["set-cookie"] ?? []) as unknown as string[];
  const [, sid] = /^sid=s%3A([^.]+)\./.exec(cookie) ?? [];
  return {
    status,
    headers,
    body: body as Record<string, unknown>,
    text,
    sid,
  };
}

function allIn(store: expressSession.MemoryStore): Promise<Record<string, StoredSession>> {
  return new Promise((resolve, reject) => {
    store.all((error: unknown, sessions) => {
      if (error === null || error === undefined) {
        resolve((sessions ?? {}) as unknown as Record<string, StoredSession>);
      } else {
        reject(new Error("the store failed", { cause: error }));
      }
    });
  });
}
