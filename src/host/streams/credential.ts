import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";

/** The headers that say who is calling, by their names in small letters. Never logged. */
export type Credential = Readonly<Record<string, string>>;

const HEADERS = ["authorization", "x-api-key"];

/** @param header gives the value of a header by its name in small letters. */
export function readCredential(header: (name: string) => string | undefined): Credential {
  const given = HEADERS.map((name) => [name, header(name)]).filter((entry) => entry[1] !== undefined);
  return Object.fromEntries(given);
}

/** Tells one caller from another without being a secret. */
export function fingerprint(credential: Credential | string): string {
  const text =
    typeof credential === "string" ? credential : JSON.stringify(Object.entries(credential).sort());
  return createHash("sha256").update(text).digest("base64url");
}

const CIPHER = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** Text that only who has `secret` can read; whoever stores it cannot. */
export function seal(text: string, secret: string): string {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv(CIPHER, keyOf(secret), iv);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString("base64");
}

/** @throws Error when it was sealed with another secret, or changed. */
export function unseal(sealed: string, secret: string): string {
  const bytes = Buffer.from(sealed, "base64");
  const text = IV_BYTES + TAG_BYTES;
  const decipher = createDecipheriv(CIPHER, keyOf(secret), bytes.subarray(0, IV_BYTES));
  decipher.setAuthTag(bytes.subarray(IV_BYTES, text));
  return decipher.update(bytes.subarray(text), undefined, "utf8") + decipher.final("utf8");
}

/** Another hash than the fingerprint, which is stored beside what is sealed. */
const keyOf = (secret: string): Buffer => createHash("sha256").update(`seal:${secret}`).digest();
