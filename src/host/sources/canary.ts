import { createHash } from "node:crypto";

/** How a second version gets its share of the requests. */
export interface Canary {
  /** Per cent of the callers. */
  readonly weight: number;
}

const BUCKETS = 10_000;

/** Whether a caller belongs to the share: the same one always does, or never. */
export function inShare(sticky: string, weight: number): boolean {
  const bucket = createHash("sha256").update(sticky).digest().readUInt32BE(0) % BUCKETS;
  return bucket < (weight / 100) * BUCKETS;
}

const ALIAS = /@[^@/?#]+(?=$|[?#])/;

/** Whether a uri stands for an alias of its registry. */
export const namesAlias = (uri: string): boolean => ALIAS.test(uri);

/** A uri that names an alias, with another one. */
export const withAlias = (uri: string, alias: string): string => uri.replace(ALIAS, `@${alias}`);
