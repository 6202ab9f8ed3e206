import { setTimeout as sleep } from "node:timers/promises";
import type { Crowd } from "./crowd.ts";
import type { LocalRegistry } from "./registry.ts";
import { MODELS, type Model } from "./served.ts";

/** One move of an alias. Times are of `performance`, in milliseconds. */
export interface Promotion {
  readonly model: Model;
  readonly version: number;
  readonly at: number;
  /** When the server first asked for a file of the version. */
  readonly fetchedAt: number;
  /** When the first answer of the version was there. */
  readonly servedAt: number;
}

/** Versions between two promotions are in the registry as well, and must never answer. */
export const STEP = 2;
/** Longest wait for a promotion to be served: this only ends a run that hangs. */
const PATIENCE_MS = 60_000;

/** Moves the aliases of both models in turn, each when the last move is served, at no fixed point of the poll. */
export async function promoteAll(
  registry: LocalRegistry,
  crowd: Crowd,
  options: { readonly count: number; readonly pollMs: number },
  done: (promotion: Promotion) => void,
): Promise<Promotion[]> {
  const promotions: Promotion[] = [];
  for (let turn = 0; turn < options.count; turn++) {
    const model = MODELS[turn % MODELS.length]!;
    const version = 1 + STEP * (1 + Math.floor(turn / MODELS.length));
    await sleep(Math.random() * options.pollMs);
    const promotion = await promote(registry, crowd, model, version);
    promotions.push(promotion);
    done(promotion);
  }
  return promotions;
}

async function promote(
  registry: LocalRegistry,
  crowd: Crowd,
  model: Model,
  version: number,
): Promise<Promotion> {
  const at = performance.now();
  registry.promote(model, version);
  const patience = new AbortController();
  const late = sleep(PATIENCE_MS, "late" as const, { signal: patience.signal }).catch(
    () => "served" as const,
  );
  const outcome = await Promise.race([crowd.seen(model, version).then(() => "served" as const), late]);
  patience.abort();
  if (outcome === "late")
    throw new Error(
      `Version ${version} of ${model} was not served within ${PATIENCE_MS / 1000} s of its promotion`,
    );
  const servedAt = performance.now();
  return {
    model,
    version,
    at,
    fetchedAt: registry.fetchedAt.get(`${model} ${version}`) ?? servedAt,
    servedAt,
  };
}
