/** Longest body that is kept, in characters. */
export const KEPT_CHARACTERS = 16 * 1024;
/** What is behind is not looked at: a secret that is cut there is cut off. */
export const READ_CHARACTERS = 2 * KEPT_CHARACTERS;

/**
 * What looks like a secret: keys of ours and of the usual vendors, credentials of HTTP, passwords in addresses, fields
 * whose name says it, private keys. Every repetition has a bound or cannot start again inside itself: texts are callers'.
 */
const SECRETS: readonly [RegExp, string][] = [
  [
    /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g,
    "[private key]",
  ],
  [
    /\b(?:cap_[0-9a-f]{12}_|[srp]k-|[srp]k_(?:live|test)_|xox[a-z]-|gh[pousr]_|github_pat_|glpat-|hf_|npm_|AKIA|ASIA|AIza|dapi)[A-Za-z0-9_-]{8,}/g,
    "[key]",
  ],
  [/\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g, "[token]"],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, "$1 [credential]"],
  [/([a-z][a-z0-9+.-]{0,30}:\/\/[^\s:/@"]{0,200}):[^\s/"]{1,500}@/gi, "$1:[password]@"],
  [
    /(password|passwd|passphrase|pwd|secret|(?:api|access|account|private)[_-]?key|token|signature)(\\*["']?\s{0,9}(?:[:=]|\bis\b)\s{0,9}\\*["']?)[^\s\\"',;&}]{4,}/gi,
    "$1$2[secret]",
  ],
];

/** A body without what looks like a secret, and not too long. */
export function redacted(text: string): string {
  const read = text.slice(0, READ_CHARACTERS);
  const clean = SECRETS.reduce((before, [pattern, word]) => before.replace(pattern, word), read);
  return clean.length > KEPT_CHARACTERS ? `${clean.slice(0, KEPT_CHARACTERS)}…` : clean;
}
