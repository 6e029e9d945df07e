import { randomUUID } from "node:crypto";
import { Router } from "express";
import type { Delivery, Message } from "polyfactor";
import { page } from "./pages.ts";

/** Mails and text messages that went nowhere, kept so that somebody trying the app can read them. */
export interface Outbox {
  readonly delivery: Delivery;
  /** `GET /outbox`, newest first: JSON, or a page for a browser. */
  readonly router: Router;
}

type Sent = { readonly [K in Exclude<keyof Message, "html">]: Message[K] | undefined } & {
  readonly id: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly sent_at: string;
};

const KEPT = 200;
const LOCAL = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Keeps the last 200 messages in memory. */
export function createOutbox(): Outbox {
  const sent: Sent[] = [];
  const router: Router = Router();

  router.get("/outbox", (req, res) => {
    // A page elsewhere whose name is made to point here must not read codes.
    if (!LOCAL.has(req.hostname)) {
      res.status(404).end();
      return;
    }
    const { to } = req.query;
    const shown = sent.filter((message) => typeof to !== "string" || message.to === to);
    res.set("Cache-Control", "no-store");
    if (req.accepts(["json", "html"]) === "html") res.type("html").send(asPage(shown));
    else res.json(shown);
  });

  return {
    router,
    delivery: {
      deliver({ channel, to, subject, text, kind, code, token, link }) {
        const message = { channel, to, subject, text, kind, code, token, link };
        sent.unshift({ id: randomUUID(), ...message, sent_at: new Date().toISOString() });
        sent.length = Math.min(sent.length, KEPT);
        return Promise.resolve();
      },
    },
  };
}

function asPage(shown: readonly Sent[]): string {
  const items = shown.map(
    ({ to, subject, text, link, sent_at }) =>
      `<article><h2>${escape(subject)}</h2><p>to ${escape(to)}, ${escape(sent_at)}</p><pre>${escape(text)}</pre>` +
      `${link === undefined ? "" : `<p><a href="${escape(link)}">Open the link</a></p>`}</article>`,
  );
  return page("Outbox", items.join("\n") || "<p>Nothing was sent yet.</p>");
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
