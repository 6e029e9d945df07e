/** What a typed code can be, judged by its form alone; the form names the budget that pays for it. */
export type CodeForm =
  | { readonly kind: "digits"; readonly code: string }
  | { readonly kind: "backup"; readonly code: string };

/**
 * Read a typed code: spaces and hyphens go, letters become upper case, and what is left must be six
 * ASCII digits, or a backup code of 8 or 25 letters of their alphabets (TO-05, BC-05). Undefined for
 * everything else, which costs nothing and is never compared.
 */
export function readCode(typed: string): CodeForm | undefined {
  if (typed.length > 64) return undefined;
  const code = typed.replace(/[ -]/g, "").toUpperCase();
  // Upper case of some letters outside ASCII lies inside it (ſ, ı): the typed form must be ASCII.
  if (!/^[A-Za-z0-9 -]+$/.test(typed)) return undefined;
  if (/^[0-9]{6}$/.test(code)) return { kind: "digits", code };
  if (/^(?:[A-HJ-NP-Z2-9]{8}|[A-Z2-7]{25})$/.test(code)) return { kind: "backup", code };
  return undefined;
}
