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

const OF_CANARY = "#canary";

/** The key of the candidate that is the canary of another. */
export const canaryKey = (key: string): string => key + OF_CANARY;

/** The key of the settings that a candidate is of: a canary's are those of the version beside it. */
export const folderKey = ({ key, canary }: { readonly key: string; readonly canary?: Canary }): string =>
  canary === undefined ? key : key.slice(0, -OF_CANARY.length);

const ALIAS = /@[^@/?#]+(?=$|[?#])/;

/** Whether a uri stands for an alias of its registry. */
export const namesAlias = (uri: string): boolean => ALIAS.test(uri);

/** The alias that a uri stands for, where it stands for one. */
export const aliasOf = (uri: string): string | undefined => ALIAS.exec(uri)?.[0].slice(1);

/** A uri that names an alias, with another one. */
export const withAlias = (uri: string, alias: string): string => uri.replace(ALIAS, `@${alias}`);
