import type { AuditSink } from "./audit.ts";
import type { AccountCore } from "./core.ts";
import { refuseUnknown, type HashingOptions, type PolicyOptions } from "./create-core.ts";
import type { Key } from "./crypto/keyring.ts";
import type { Delivery } from "./delivery/port.ts";
import type { SendLimit, Store } from "./store/port.ts";
import type { Throttle, ThrottleOptions } from "./throttle.ts";

/** How many mails may be sent. */
export interface SendLimits {
  /** For one account, whatever the address. @default 10 in 15 minutes, 40 a day */
  readonly account?: SendLimit;
  /** To one address. @default 5 in 15 minutes, 20 a day */
  readonly destination?: SendLimit;
  /** By one tenant. @default 1000 in 15 minutes, 10,000 a day */
  readonly tenant?: SendLimit;
}

/** What `createAuth` is given. Only the first four have no default. */
export interface AuthOptions {
  /** E.g. `mongooseStore(mongoose.connection)`. */
  readonly store: Store;
  /** The ring of secrets; the first is used, the others still verify. */
  readonly keys: readonly Key[];
  /** The service's name in authenticator apps and mails; no colon, at most 60 characters. */
  readonly issuer: string;
  /** Where the app is reached: the base of every mailed link and the `iss` of tokens. Never taken from a request (RT-07). */
  readonly publicUrl: string;
  /** @default none: mails are refused, audited as failed, and a warning says so at start */
  readonly delivery?: Delivery;
  readonly policy?: PolicyOptions;
  readonly hashing?: HashingOptions;
  /** Attempts per client address. @default 100 in 15 minutes, in this process's memory */
  readonly throttle?: Throttle | ThrottleOptions;
  readonly sendLimits?: SendLimits;
  /** Paths of the pages that mailed links open. @default `/verify-email` and `/unlock` */
  readonly links?: { readonly verifyEmail?: string; readonly unlock?: string };
  /** Where audit events go. @default the store */
  readonly audit?: AuditSink;
  /** @default the system's clock */
  readonly clock?: () => Date;
}

export const AUTH_OPTIONS: readonly (keyof AuthOptions)[] = [
  "store",
  "keys",
  "issuer",
  "publicUrl",
  "delivery",
  "policy",
  "hashing",
  "throttle",
  "sendLimits",
  "links",
  "audit",
  "clock",
];

const DEFAULT_LIMITS: Required<SendLimits> = {
  account: { perQuarter: 10, perDay: 40 },
  destination: { perQuarter: 5, perDay: 20 },
  tenant: { perQuarter: 1000, perDay: 10_000 },
};

/** @throws TypeError naming the limit that is not two positive whole numbers. */
export function readLimits(given: SendLimits = {}): Required<SendLimits> {
  refuseUnknown("sendLimits.", given, Object.keys(DEFAULT_LIMITS));
  const limits = { ...DEFAULT_LIMITS, ...given };
  for (const [name, { perQuarter, perDay }] of Object.entries(limits)) {
    if ([perQuarter, perDay].every((most) => Number.isInteger(most) && most > 0)) continue;
    throw new TypeError(`sendLimits.${name}: perQuarter and perDay, whole numbers above 0`);
  }
  return limits;
}

/** @throws TypeError for a delivery that cannot deliver. */
export function readDelivery(delivery: Delivery = noDelivery()): Delivery {
  if (typeof (delivery as Partial<Delivery>).deliver === "function") return delivery;
  throw new TypeError("delivery: an object with deliver");
}

export function readPublicUrl(value: unknown): URL {
  if (typeof value !== "string" || !URL.canParse(value)) {
    throw new TypeError("publicUrl: an absolute URL");
  }
  const url = new URL(value);
  const loopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(url.hostname);
  const secure = url.protocol === "https:" || (url.protocol === "http:" && loopback);
  if (!secure && (url.protocol !== "http:" || process.env.NODE_ENV === "production")) {
    throw new TypeError("publicUrl: https, or http on a loopback address");
  }
  if (url.username !== "" || url.search !== "" || url.hash !== "") {
    throw new TypeError("publicUrl: no user, query or fragment");
  }
  return url;
}

export function readLinks({
  verifyEmail = "/verify-email",
  unlock = "/unlock",
}: AuthOptions["links"] = {}): AccountCore["links"] {
  for (const [name, path] of Object.entries({ verifyEmail, unlock })) {
    if (!/^\/(?!\/)[\w./-]*$/.test(path))
      throw new TypeError(`links.${name}: a path that begins with /`);
  }
  return { verify_email: verifyEmail, change_email: verifyEmail, unlock };
}

function noDelivery(): Delivery {
  process.emitWarning("polyfactor: no delivery was given, so no mail will be sent");
  return { deliver: () => Promise.reject(new Error("no delivery was given")) };
}
