import type { Account, ProfileFields } from "../account.ts";
import { change, type ChangeBuilder } from "../change.ts";
import type { Context } from "../context.ts";
import type { AccountActing, AccountCore } from "../core.ts";
import { readAddress } from "../names.ts";
import { commitActing, demandFresh } from "./acting.ts";
import { keyOf, requestAddress } from "./email-address.ts";

/** An account as its owner sees it. */
export interface Profile {
  readonly id: string;
  /** The address where no user name was chosen. */
  readonly username: string;
  readonly email: string;
  readonly emailVerified: boolean;
  readonly firstName?: string;
  readonly lastName?: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The profile in an account. */
export function profileOf(id: string, account: Account): Profile {
  const { username, email, profile = {}, createdAt, updatedAt } = account;
  const address = email?.address ?? "";
  return {
    id,
    username: username ?? address,
    email: address,
    emailVerified: email?.verifiedAt !== undefined,
    createdAt: new Date(createdAt),
    updatedAt: new Date(updatedAt),
    ...profile,
  };
}

/** What of a profile may be changed; `null` takes a name away. */
export interface ProfileChange {
  readonly firstName?: string | null;
  readonly lastName?: string | null;
  /** Pending until it is confirmed from there. */
  readonly email?: string;
}

/**
 * Change the profile. A new address takes effect when its owner confirms it; the answer shows the old
 * one, whether or not the new one is somebody else's (EN-03, RT-09).
 *
 * @throws AuthError `invalid_input`, `step_up_required`, `rate_limited`, `conflict`, `unavailable`.
 */
export async function updateProfile(
  core: AccountCore,
  acting: AccountActing,
  { firstName, lastName, email }: ProfileChange,
  context: Context,
): Promise<Profile> {
  const { subject, record } = acting;
  const typed = email === undefined ? undefined : readAddress(email);
  const moved = typed !== undefined && keyOf(core, typed) !== record.email?.key ? typed : undefined;
  if (moved !== undefined) demandFresh(core, acting, context);

  const profile = withName(
    withName(record.profile ?? {}, "firstName", firstName),
    "lastName",
    lastName,
  );
  const now = core.now();
  // Field by field: two edits at once must not undo each other.
  const renamed = renameIn(renameIn(change(), "firstName", firstName), "lastName", lastName).set(
    ["updatedAt"],
    now,
  );
  if (moved === undefined) {
    await commitActing(core, acting, renamed);
  } else {
    await requestAddress(core, acting, { moved, renamed }, context);
  }
  core.audit.record({ type: "profile_change", account: subject }, context);
  return profileOf(subject, { ...record, profile, updatedAt: now });
}

function withName(
  profile: ProfileFields,
  field: keyof ProfileFields,
  value: string | null | undefined,
): ProfileFields {
  if (value === undefined) return profile;
  const others = Object.fromEntries(Object.entries(profile).filter(([name]) => name !== field));
  return value === null ? others : { ...others, [field]: value };
}

function renameIn(
  wanted: ChangeBuilder,
  field: keyof ProfileFields,
  value: string | null | undefined,
): ChangeBuilder {
  if (value === undefined) return wanted;
  return value === null ? wanted.unset(["profile", field]) : wanted.set(["profile", field], value);
}
