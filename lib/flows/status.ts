import { entriesOf, type FactorRecord, type Method, type TotpDevice } from "../account.ts";
import { methodsOf, needsSecondFactor } from "../policy.ts";

/** What an account has, for status answers. */
export interface FactorStatus {
  readonly enabled: boolean;
  readonly methods: readonly Method[];
  readonly totp: readonly {
    readonly id: string;
    readonly name: string;
    readonly createdAt: Date;
  }[];
  readonly backupCodesRemaining: number;
}

/** The factors of a record, without any of their secrets (TO-09). */
export function factorStatus(record: FactorRecord): FactorStatus {
  return {
    enabled: needsSecondFactor(record),
    methods: methodsOf(record),
    totp: entriesOf<TotpDevice>(record.totp).map(([id, { name, createdAt }]) => ({
      id,
      name,
      createdAt: new Date(createdAt),
    })),
    backupCodesRemaining: entriesOf(record.backup?.codes).length,
  };
}
