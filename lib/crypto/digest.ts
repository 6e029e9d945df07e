import { createHash, timingSafeEqual } from "node:crypto";

/** SHA-256, base64url: 43 characters, fit for a path segment. */
export function digest(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("base64url");
}

/** Whether two strings are the same, in a time that does not depend on where they differ (CR-02). */
export function sameSecret(one: string, other: string): boolean {
  const left = createHash("sha256").update(one, "utf8").digest();
  const right = createHash("sha256").update(other, "utf8").digest();
  return timingSafeEqual(left, right);
}
