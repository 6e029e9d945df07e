import { createAuditQueue, type AuditSink } from "./audit.ts";
import { bindFactors, type Factors } from "./calls.ts";
import {
  createCore,
  createHashing,
  readIssuer,
  readPolicy,
  readThrottle,
  refuseNoFunction,
  refuseUnknown,
  type HashingOptions,
  type PolicyOptions,
} from "./create-core.ts";
import type { Directory } from "./core.ts";
import { digest } from "./crypto/digest.ts";
import { createKeyring, type Key } from "./crypto/keyring.ts";
import { callOut } from "./deadline.ts";
import type { MessageKind } from "./delivery/messages.ts";
import { setPassword } from "./flows/password.ts";
import type { Records } from "./store/port.ts";
import type { Throttle, ThrottleOptions } from "./throttle.ts";

/** What `createFactors` is given. TOTP and backup codes need the first three alone. */
export interface FactorsOptions {
  /** Where the records of the host's users lie, e.g. `mongoRecords(User.collection, { at: "mfa" })`. */
  readonly records: Records;
  readonly keys: readonly Key[];
  /** The service's name in authenticator apps; no colon, at most 60 characters. */
  readonly issuer: string;
  /** For passwords: whose name this is, in the host's own users. */
  readonly find?: (name: string) => Promise<string | null>;
  /** For passwords: a second place, where attempts at names that nobody has are counted. */
  readonly unknown?: Records;
  readonly policy?: PolicyOptions;
  readonly hashing?: HashingOptions;
  readonly throttle?: Throttle | ThrottleOptions;
  /** Tell a user what happened to their factors; not waited for. @default nobody is told */
  readonly notify?: (subject: string, kind: MessageKind) => Promise<void>;
  /** Where audit events go. @default nowhere */
  readonly audit?: AuditSink;
  /** @default the system's clock */
  readonly clock?: () => Date;
}

/** Second factors for a host's own users. */
export interface StandaloneFactors extends Factors {
  /** Store a password for a user; the host has checked who asks. `password_…` */
  setPassword(subject: string, password: string): Promise<void>;
  /** Write the audit queue. */
  close(): Promise<void>;
}

/**
 * The part of the core that needs no account of ours, on the host's own users.
 *
 * @throws TypeError naming the option.
 */
export function createFactors(options: FactorsOptions): StandaloneFactors {
  refuseUnknown("", options, FACTORS_OPTIONS);
  for (const name of ["find", "notify", "audit", "clock"] as const) {
    refuseNoFunction(name, options[name]);
  }
  const { records, find, unknown, notify, clock = () => new Date() } = options;
  for (const method of ["read", "charge", "commit"] as const) {
    if (typeof (records as Partial<Records> | undefined)?.[method] !== "function") {
      throw new TypeError("records: an object with read, charge and commit");
    }
  }
  if ((find === undefined) !== (unknown === undefined)) {
    throw new TypeError(
      `${find === undefined ? "find" : "unknown"}: needed for passwords, with the other`,
    );
  }
  const now = (): number => clock().getTime();
  const issuer = readIssuer(options.issuer);
  const audit = createAuditQueue(options.audit ?? (() => Promise.resolve()), { now });
  const trail = audit.forTenant("");
  const core = {
    ...createCore({
      ...{ tenant: "", issuer, tokenIssuer: issuer, now },
      records: guarded(records),
      keyring: createKeyring(options.keys),
      policy: readPolicy(options.policy),
      hashing: createHashing(options.hashing),
      throttle: readThrottle(options.throttle),
      directory: find && unknown ? directoryOf(find, guarded(unknown)) : undefined,
      audit: trail,
    }),
    notify(subject: string, _record: object, kind: MessageKind) {
      Promise.resolve()
        .then(() => notify?.(subject, kind))
        .catch(() => {
          trail.record({ type: "delivery_failed", account: subject, method: kind }, {});
        });
    },
  };
  return {
    ...bindFactors(core),
    setPassword: (subject, password) => setPassword(core, subject, password),
    close: () => audit.close(),
  };
}

const FACTORS_OPTIONS: readonly (keyof FactorsOptions)[] = [
  "records",
  "keys",
  "issuer",
  "find",
  "unknown",
  "policy",
  "hashing",
  "throttle",
  "notify",
  "audit",
  "clock",
];

/** Milliseconds that a call of the host's may take. */
const DEADLINE = 3000;

/** Whatever a host's records do, they fail closed: a refusal in time, never a hang (FT-01, EX-05). */
function guarded(records: Records): Records {
  return {
    read: (subject) => callOut(async () => records.read(subject), DEADLINE, "read"),
    charge: (subject, wanted) =>
      callOut(async () => records.charge(subject, wanted), DEADLINE, "charge"),
    commit: (subject, wanted) =>
      callOut(async () => records.commit(subject, wanted), DEADLINE, "commit"),
  };
}

function directoryOf(find: (name: string) => Promise<string | null>, unknown: Records): Directory {
  const keyOf = (name: string): string => digest(name.trim().normalize("NFC").toLowerCase());
  return {
    keyOf,
    unknown,
    find: async (name) => ({
      key: keyOf(name),
      // `undefined` is what `?.id` of nobody is.
      subject:
        (await callOut<string | null | undefined>(async () => find(name), DEADLINE, "find")) ??
        null,
    }),
  };
}
