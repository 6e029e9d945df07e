/** What a request knows about its sender. Nothing of it is trusted for a decision but `ip` for throttling. */
export interface Context {
  /** The client's address, from `req.ip`: the host's `trust proxy` decides what that is (EX-06). */
  readonly ip?: string;
  readonly userAgent?: string;
  readonly requestId?: string;
  /** Seconds that a session begun by this request may live. @default the policy's */
  readonly lifetime?: number;
}

// LG-03: control, line-separating and direction-changing characters forge log lines.
const UNPRINTABLE =
  // eslint-disable-next-line no-control-regex -- they are what must go
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A client's text made fit for a log or a list: one line, bounded, without characters that deceive. */
export function cleanLabel(text: string | undefined, length = 80): string {
  return (text ?? "")
    .slice(0, 4 * length)
    .replace(UNPRINTABLE, "")
    .trim()
    .slice(0, length);
}
