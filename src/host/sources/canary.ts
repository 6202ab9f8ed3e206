import { createHash } from "node:crypto";
import { invalid } from "../../contracts/index.ts";

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

/** A uri with another alias. @throws CapstanError INVALID_ARGUMENT for one that names none. */
export function withAlias(uri: string, alias: string): string {
  if (ALIAS.test(uri)) return uri.replace(ALIAS, `@${alias}`);
  throw invalid(`canary: '${uri}' names no alias; it must end in @ALIAS`);
}
