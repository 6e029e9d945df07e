import { isIPv6 } from "node:net";
import { AuthError } from "./errors.ts";

/** What is left of an address's allowance. */
export interface Allowance {
  readonly allowed: boolean;
  /** Attempts per window. */
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds since 1970 at which the window ends. */
  readonly resetAt: number;
}

/** Counts attempts per client address, in this process or in a store that several share (TH-08). */
export interface Throttle {
  /** Count one attempt of an address. */
  take(address: string, now: number): Promise<Allowance>;
  /** Undo a take; of a window that has ended there is nothing to undo. */
  giveBack(address: string, taken: Allowance): Promise<void>;
}

/** How many attempts one address may make. */
export interface ThrottleOptions {
  /** Failed logins and messages sent, within a window. @default 100 */
  readonly limit?: number;
  /** Seconds. @default 900 */
  readonly window?: number;
}

/** Addresses remembered at once; beyond, the oldest window goes. */
const CAPACITY = 100_000;

/**
 * A fixed window per address, in this process's memory.
 *
 * @throws TypeError naming the option that is no positive whole number.
 */
export function memoryThrottle({ limit = 100, window = 900 }: ThrottleOptions = {}): Throttle {
  for (const [name, value] of Object.entries({ limit, window })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new TypeError(`throttle.${name}: a whole number above 0`);
    }
  }
  const windows = new Map<string, { taken: number; resetAt: number }>();
  const current = (address: string, now: number): { taken: number; resetAt: number } => {
    const found = windows.get(address);
    // A clock that was set back must not lengthen a window.
    if (found !== undefined && now < found.resetAt && found.resetAt - now <= window * 1000) {
      return found;
    }
    const fresh = { taken: 0, resetAt: now + window * 1000 };
    windows.delete(address);
    windows.set(address, fresh);
    const [oldest] = windows.keys();
    if (windows.size > CAPACITY && oldest !== undefined) windows.delete(oldest);
    return fresh;
  };

  return {
    take(address, now) {
      const entry = current(address, now);
      const allowed = entry.taken < limit;
      if (allowed) entry.taken += 1;
      const remaining = limit - entry.taken;
      return Promise.resolve({ allowed, limit, remaining, resetAt: entry.resetAt });
    },
    giveBack(address, { resetAt }) {
      const entry = windows.get(address);
      if (entry?.resetAt === resetAt) entry.taken = Math.max(0, entry.taken - 1);
      return Promise.resolve();
    },
  };
}

/** The address a client is counted under: IPv4 as it is, IPv6 by its /64, which one subscriber holds (EX-06). */
export function addressOf(ip: string): string {
  const plain = ip.toLowerCase().replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, "");
  if (!isIPv6(plain)) return plain;
  const [head = "", tail] = plain.replace(/%.*$/, "").split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0");
  const groups = tail === undefined ? left : [...left, ...zeros, ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}

/** An address's allowance is used up. */
export class RateLimited extends AuthError {
  readonly allowance: Allowance;

  constructor(allowance: Allowance, now: number) {
    const retryAfter = Math.max(1, Math.ceil((allowance.resetAt - now) / 1000));
    super("rate_limited", { retryAfter });
    this.allowance = allowance;
  }
}
