import type { Account } from "./account.ts";
import { createAuditQueue } from "./audit.ts";
import {
  AUTH_OPTIONS,
  readDelivery,
  readLimits,
  readLinks,
  readPublicUrl,
  type AuthOptions,
} from "./auth-options.ts";
import { createBackground } from "./background.ts";
import { bindAccounts, type Calls } from "./calls.ts";
import { change } from "./change.ts";
import type { Context } from "./context.ts";
import type { AccountCore, Directory } from "./core.ts";
import {
  createCore,
  createHashing,
  readIssuer,
  readPolicy,
  readThrottle,
  refuseNoFunction,
  refuseUnknown,
} from "./create-core.ts";
import { digest } from "./crypto/digest.ts";
import { createKeyring } from "./crypto/keyring.ts";
import { withDeadline } from "./deadline.ts";
import type { MessageKind } from "./delivery/messages.ts";
import { prepareToken, sendMail } from "./flows/mail.ts";
import { canonicalName, nameKey } from "./names.ts";
import type { PolicySubject } from "./policy.ts";
import type { SendLimit, Store, TenantStore } from "./store/port.ts";

/** The object that routers and strategies are given. */
export interface Auth {
  /** The calls of one tenant; nothing of it is seen or usable in another (MT-01). */
  tenant(id: string): Calls;
  /** Check the connection, make the indexes. Await it before listening. */
  ready(): Promise<void>;
  /** Finish sending mail, write the audit queue. Await it after the last request. */
  close(): Promise<void>;
  /** Audit events that could not be written. */
  lostAuditEvents(): number;
}

/**
 * Accounts, names, passwords, second factors and sessions, on a store.
 *
 * @throws TypeError naming the option that is wrong, never its value (CR-04).
 */
export function createAuth(options: AuthOptions): Auth {
  refuseUnknown("", options, AUTH_OPTIONS);
  refuseNoFunction("audit", options.audit);
  refuseNoFunction("clock", options.clock);
  const { store, clock = () => new Date() } = options;
  const delivery = readDelivery(options.delivery);
  const issuer = readIssuer(options.issuer);
  if (typeof (store as Partial<Store> | undefined)?.tenant !== "function") {
    throw new TypeError("store: mongooseStore(connection) or a store of the same shape");
  }
  const publicUrl = readPublicUrl(options.publicUrl);
  const links = readLinks(options.links);
  const now = (): number => clock().getTime();
  const keyring = createKeyring(options.keys);
  const policy = readPolicy(options.policy);
  const hashing = createHashing(options.hashing);
  const throttle = readThrottle(options.throttle);
  const limits = readLimits(options.sendLimits);
  const audit = createAuditQueue(options.audit ?? ((events) => store.appendAudit(events)), { now });
  const background = createBackground(() => {
    audit.forTenant("").record({ type: "fault", outcome: "refused", reason: "background" }, {});
  });

  const build = (tenant: string): Calls => {
    if (!/^[A-Za-z0-9_-]{1,64}$/.test(tenant)) {
      throw new TypeError("tenant: 1 to 64 letters, digits, _ or -");
    }
    const names = store.tenant(tenant);
    const base = createCore({
      ...{ tenant, issuer, keyring, policy, hashing, throttle, now },
      tokenIssuer: publicUrl.origin,
      records: names.accounts,
      directory: directoryOf(names, tenant),
      audit: audit.forTenant(tenant),
    });
    const core: AccountCore = {
      ...base,
      ...{ records: names.accounts, store: names, delivery, publicUrl, links, background },
      barred: (record) => barred(record as Account, policy.verifiedToLogIn),
      isNamed: (record, key) => Object.hasOwn((record as Account).names ?? {}, key),
      describe: (id, record) => describeAccount(id, tenant, record as Account),
      notify: (subject, record, kind, context) => {
        notify(core, { subject, account: record as Account }, kind, context);
      },
      async mayReach(address, kind, account) {
        const may = (what: string, limit: SendLimit): Promise<boolean> =>
          store.countSend(digest([tenant, mailClass(kind), what].join("\n")), limit, now());
        if (!(await may(`account\n${account}`, limits.account))) return false;
        if (!(await may(`to\n${address.toLowerCase()}`, limits.destination))) return false;
        return may("", limits.tenant);
      },
    };
    return bindAccounts(core);
  };

  const tenants = new Map<string, Calls>();
  return {
    tenant(id) {
      const known = tenants.get(id);
      if (known !== undefined) return known;
      const calls = build(id);
      tenants.set(id, calls);
      return calls;
    },
    ready: () => store.ready(),
    async close() {
      await withDeadline(background.idle(), CLOSING_TAKES, "close").catch(() => undefined);
      await audit.close();
      await delivery.close?.();
    },
    lostAuditEvents: () => audit.lost(),
  };
}

/** Milliseconds that mails under way are waited for. */
const CLOSING_TAKES = 8000;

/**
 * Mails that a stranger can cause have limits of their own, so that they cannot use up those of what
 * the owner must be told.
 */
function mailClass(kind: MessageKind): string {
  if (kind === "password_off") return "unlock";
  return kind === "verify_email" || kind === "address_in_use" ? "link" : "notice";
}

function directoryOf(names: TenantStore, tenant: string): Directory {
  const keyOf = (name: string): string => nameKey(tenant, "name", canonicalName(name));
  return {
    keyOf,
    unknown: names.unknown,
    async find(name) {
      const key = keyOf(name);
      return { key, subject: await names.resolve(key), listed: ["names", key] };
    },
  };
}

function barred({ state, email }: Account, verifiedToLogIn: boolean): string | undefined {
  if (state !== "active") return state === "disabled" ? "disabled" : "unfinished";
  return verifiedToLogIn && email?.verifiedAt === undefined ? "unverified" : undefined;
}

function describeAccount(id: string, tenant: string, { username, email }: Account): PolicySubject {
  return {
    id,
    tenant,
    ...(username === undefined ? {} : { username }),
    ...(email === undefined ? {} : { email: email.address }),
  };
}

/** Tell an owner by mail. An unlock link is made here, because only its mail may ever hold it. */
function notify(
  core: AccountCore,
  { subject, account }: { readonly subject: string; readonly account: Account },
  kind: MessageKind,
  context: Context,
): void {
  const address = account.email?.address;
  if (address === undefined) return;
  const mail = { context, account: subject };
  if (kind !== "password_off") {
    const remaining = Object.keys(account.backup?.codes ?? {}).length - 1;
    sendMail(core, address, kind, { ...mail, remaining: Math.max(0, remaining) });
    return;
  }
  // Anybody can cause it, so a link that is out there lives its day.
  const last = account.mailed?.unlock?.sentAt ?? -Infinity;
  if (core.now() - last < 24 * 3_600_000) return;
  core.background.run(async () => {
    const prepared = prepareToken(core, subject, "unlock", address);
    await core.records.commit(subject, change().set(["mailed", "unlock"], prepared.stored));
    sendMail(core, address, kind, { ...mail, ...prepared });
  });
}
