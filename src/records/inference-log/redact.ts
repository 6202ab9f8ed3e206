/** Longest body that is kept, in characters. */
const LONGEST = 16 * 1024;

/** What looks like a secret: keys of ours and of the usual vendors, bearer tokens, passwords in addresses, private keys. */
const SECRETS: readonly [RegExp, string][] = [
  [/\b(cap_[0-9a-f]{12}_|sk-|xox[abpr]-|gh[pousr]_|AKIA|dapi)[A-Za-z0-9_-]{8,}/g, "[key]"],
  [/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, "$1 [credential]"],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s:/@]+):[^\s@/]+@/gi, "$1:[password]@"],
  [/\b(password|passwd|secret|api[_-]?key|token)("?\s*[:=]\s*"?)[^\s",;}]{4,}/gi, "$1$2[secret]"],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, "[private key]"],
];

/** A body without what looks like a secret, and not too long. */
export function redacted(text: string): string {
  const clean = SECRETS.reduce(
    (before, [pattern, word]) => before.replace(pattern, word),
    text.slice(0, 2 * LONGEST),
  );
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST)}…` : clean;
}
