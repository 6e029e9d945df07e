import type { FactorRecord } from "./account.ts";

declare const paid: unique symbol;

/**
 * Proof that an attempt was paid for. Only a charge makes one, and a factor is not checked without
 * one: a check that nobody paid for does not compile.
 */
export interface Receipt<R extends object = FactorRecord> {
  readonly [paid]: true;
  readonly subject: string;
  /** The record as the charge found it. */
  readonly record: R;
}
