import { cleanLabel } from "../context.ts";
import type { Message } from "./port.ts";

/** What the owner of an account is told (LG-05). */
export type MessageKind =
  | "verify_email"
  | "address_in_use"
  | "email_change_requested"
  | "email_changed"
  | "password_changed"
  | "password_off"
  | "factor_added"
  | "factor_replaced"
  | "factor_removed"
  | "backup_codes_replaced"
  | "backup_code_used"
  | "second_factor_failures"
  | "factors_reset";

/** What a message may have to say. */
export interface MessageFacts {
  readonly issuer: string;
  readonly link?: string;
  readonly token?: string;
  readonly remaining?: number;
}

interface Words {
  readonly subject: string;
  readonly body: (facts: MessageFacts) => string;
}

const notMe =
  "If this was not you, change your password now, end your other sessions, and tell whoever runs this service.";

const WORDS: Readonly<Record<MessageKind, Words>> = {
  verify_email: {
    subject: "Confirm your e-mail address",
    body: ({ link = "" }) =>
      `Open this link to confirm that this address is yours. It is good for 24 hours and once:\n\n${link}\n\nIf you did not ask for it, do nothing.`,
  },
  address_in_use: {
    subject: "Somebody gave your e-mail address",
    body: () =>
      "Somebody gave this address for an account, and it belongs to yours already. Nothing was changed. If it was you, log in with the account you have.",
  },
  email_change_requested: {
    subject: "A new e-mail address was given for your account",
    body: () =>
      `A new e-mail address was given for your account. It takes effect when it is confirmed from there. ${notMe}`,
  },
  email_changed: {
    subject: "Your e-mail address was changed",
    body: () => `Your account now has another e-mail address. ${notMe}`,
  },
  password_changed: {
    subject: "Your password was changed",
    body: () => `The password of your account was changed, and other sessions were ended. ${notMe}`,
  },
  password_off: {
    subject: "Your password is switched off",
    body: ({ link = "" }) =>
      `After very many wrong attempts, your password is switched off. Open this link to switch it on again. It is good for 24 hours and once:\n\n${link}\n\nIf the attempts were not yours, choose a new password after that.`,
  },
  factor_added: {
    subject: "A second factor was added to your account",
    body: () => `An authenticator app was added to your account. ${notMe}`,
  },
  factor_replaced: {
    subject: "The second factor of your account was replaced",
    body: () => `Your account now has another authenticator app. ${notMe}`,
  },
  factor_removed: {
    subject: "A second factor was removed from your account",
    body: () => `A second factor was removed from your account. ${notMe}`,
  },
  backup_codes_replaced: {
    subject: "Your backup codes were replaced",
    body: () => `Your account has new backup codes; the old ones are good no more. ${notMe}`,
  },
  backup_code_used: {
    subject: "A backup code was used",
    body: ({ remaining = 0 }) =>
      `A backup code of your account was used; ${remaining} are left.${remaining <= 2 ? " Make new ones soon." : ""} ${notMe}`,
  },
  second_factor_failures: {
    subject: "Wrong codes for your account",
    body: () =>
      `Somebody who knows your password gave several wrong codes for your second factor. If it was not you, change your password now.`,
  },
  factors_reset: {
    subject: "The second factors of your account were removed",
    body: () =>
      `Whoever runs this service removed the second factors of your account. Set up a new one at your next login. ${notMe}`,
  },
};

/** The message of a kind to one address. Nothing in it is text of a client's. */
export function composeMail(kind: MessageKind, to: string, facts: MessageFacts): Message {
  const { subject, body } = WORDS[kind];
  const { link, token } = facts;
  const text = body(facts);
  return {
    channel: "email",
    to,
    subject: `${subject} (${cleanLabel(facts.issuer, 60)})`,
    text: `${text}\n`,
    html: htmlOf(text, link),
    kind,
    ...(link === undefined ? {} : { link }),
    ...(token === undefined ? {} : { token }),
  };
}

/** The text as a page: everything escaped, the one link clickable (IV-10). */
function htmlOf(text: string, link: string | undefined): string {
  const paragraphs = text.split("\n\n").map((paragraph) => {
    const shown = escapeHtml(paragraph);
    return paragraph === link ? `<p><a href="${shown}">${shown}</a></p>` : `<p>${shown}</p>`;
  });
  return `<!doctype html>\n<html lang="en"><body>${paragraphs.join("\n")}</body></html>\n`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
