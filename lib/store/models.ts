/* eslint-disable @typescript-eslint/no-unsafe-class-instance-assignment -- mongoose types its own shorthand as a class */
import { Schema, type Connection, type Model } from "mongoose";
import { MAJORITY } from "./mongo-records.ts";

// `true` would drop conditions it does not know, and a compare-and-set that lost one matches everything.
const STRICT = {
  strict: "throw",
  strictQuery: "throw",
  versionKey: false,
  autoIndex: false,
  autoCreate: false,
  minimize: false,
  writeConcern: MAJORITY,
} as const;
const map = { type: Schema.Types.Mixed } as const;
const accountSchema = new Schema(
  {
    _id: { type: String, required: true },
    tenant: { type: String, required: true },
    state: { type: String, required: true, enum: ["new", "active", "disabled"] },
    names: map,
    username: String,
    email: map,
    profile: map,
    epoch: Number,
    password: map,
    totp: map,
    backup: map,
    enrolment: map,
    pending: map,
    sessions: map,
    budgets: map,
    mailed: map,
    createdAt: { type: Number, required: true },
    updatedAt: { type: Number, required: true },
    expireAt: Date,
  },
  STRICT,
).index({ expireAt: 1 }, { expireAfterSeconds: 0 });

const identifierSchema = new Schema(
  {
    _id: { type: String, required: true },
    tenant: { type: String, required: true },
    account: String,
    claimedAt: Number,
    /** When it was last looked up, be it known or not. */
    triedAt: Date,
    budgets: map,
    /** Nobody has claimed it: only such a document may be swept, whatever its `expireAt` says. */
    free: Boolean,
    expireAt: Date,
  },
  STRICT,
).index({ expireAt: 1 }, { expireAfterSeconds: 0, partialFilterExpression: { free: true } });

const budgetSchema = new Schema(
  { _id: { type: String, required: true }, sent: Number, quarters: map, expireAt: Date },
  STRICT,
).index({ expireAt: 1 }, { expireAfterSeconds: 0 });

/** The audit trail, kept for this many days. */
function auditSchema(days: number): Schema {
  return new Schema(
    {
      _id: { type: String, required: true },
      at: { type: Date, required: true },
      type: { type: String, required: true },
      outcome: { type: String, required: true },
      tenant: { type: String, default: "" },
      account: String,
      name: String,
      session: String,
      method: String,
      reason: String,
      ip: String,
      userAgent: String,
      requestId: String,
    },
    STRICT,
  )
    .index({ tenant: 1, account: 1, at: -1 })
    .index({ at: 1 }, { expireAfterSeconds: days * 86_400 });
}

export type { Connection, Model };

/** The four collections. */
export type Models = Readonly<
  Record<"accounts" | "identifiers" | "budgets" | "audit", Model<unknown>>
>;

/** The models of the four collections, whose names begin with `prefix`. */
export function modelsOn(
  connection: Connection,
  { prefix, auditDays }: { readonly prefix: string; readonly auditDays: number },
): Models {
  const model = (name: string, schema: Schema): Model<unknown> =>
    connection.model<unknown>(`${prefix}${name}`, schema, `${prefix}${name}`, {
      overwriteModels: true,
    });
  return {
    accounts: model("accounts", accountSchema),
    identifiers: model("identifiers", identifierSchema),
    budgets: model("budgets", budgetSchema),
    audit: model("audit", auditSchema(auditDays)),
  };
}
