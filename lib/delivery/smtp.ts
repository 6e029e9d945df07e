import { createTransport } from "nodemailer";
import type { Delivery } from "./port.ts";

/** Where mail goes out. */
export interface SmtpOptions {
  /** `smtp://…` or `smtps://user:password@host:port`. */
  readonly url: string;
  /** The sender's address, e.g. `login@example.org`. */
  readonly from: string;
  /** The sender's name. @default none */
  readonly name?: string;
  /** Milliseconds for connecting, greeting and each step. @default 5000 */
  readonly timeout?: number;
}

/**
 * Delivery of mail by SMTP, on nodemailer (an optional peer). Text messages are refused.
 *
 * @throws TypeError for a URL that is not `smtp:` or `smtps:`.
 */
export function smtpDelivery({ url, from, name = "", timeout = 5000 }: SmtpOptions): Delivery {
  if (!URL.canParse(url) || !/^smtps?:$/.test(new URL(url).protocol)) {
    throw new TypeError("smtp.url: an smtp: or smtps: URL");
  }
  const transport = createTransport({
    url,
    pool: true,
    connectionTimeout: timeout,
    greetingTimeout: timeout,
    socketTimeout: timeout,
    disableFileAccess: true,
    disableUrlAccess: true,
  });

  return {
    async deliver({ channel, to, subject, text, html }) {
      if (channel !== "email") throw new TypeError("smtp: this delivery takes mail only");
      // Objects and an explicit envelope: no text is parsed for addresses, so none can be smuggled in (OB-09).
      await transport.sendMail({
        from: { name, address: from },
        to: { name: "", address: to },
        envelope: { from, to: [to] },
        subject,
        text,
        ...(html === undefined ? {} : { html }),
      });
    },
    close() {
      transport.close();
      return Promise.resolve();
    },
  };
}
