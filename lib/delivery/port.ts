/** A message to one recipient. Holds the one code or link it exists for, and no other secret (LG-02). */
export interface Message {
  readonly channel: "email" | "sms";
  /** The stored address or number, exactly one (OB-09). */
  readonly to: string;
  readonly subject: string;
  /** Plain text. */
  readonly text: string;
  /** The same as a page. */
  readonly html?: string;
  /** What it is about, for hosts that write their own. */
  readonly kind: string;
  readonly code?: string;
  readonly token?: string;
  readonly link?: string;
}

/** Sends messages. Rejects where the message was not taken. */
export interface Delivery {
  /** Send one message. Rejects where it was not taken. */
  deliver(message: Message): Promise<void>;
  /** Let go of what the delivery holds open. */
  close?(): Promise<void>;
}
