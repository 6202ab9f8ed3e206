import { hash, randomBytes, timingSafeEqual } from "node:crypto";

/** What every key begins with, so that a scanner of leaked secrets knows it. */
const PREFIX = "cap";

/** A key that is about to be shown for the only time. */
export interface NewKey {
  readonly id: string;
  readonly key: string;
  readonly hash: string;
}

/** 256 random bits. The id in it is not secret: it is how a key is named in logs and commands. */
export function newKey(): NewKey {
  const id = randomBytes(6).toString("hex");
  const key = `${PREFIX}_${id}_${randomBytes(32).toString("base64url")}`;
  return { id, key, hash: hashOf(key) };
}

/** What is stored of a key. Keys are random, so a plain hash cannot be guessed backwards. */
export function hashOf(key: string): string {
  return hash("sha256", key, "hex");
}

/** Takes as long for a hash that is nearly right as for one that is wrong. */
export function sameHash(one: string, other: string): boolean {
  return one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
}
