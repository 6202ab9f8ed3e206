import type { Generation } from "../generation.ts";

/** Of a model version, since it began to be watched. */
interface Window {
  readonly requests: number;
  readonly errorRate: number;
  readonly meanMs: number;
}

interface Baseline {
  readonly succeeded: number;
  readonly failed: number;
  readonly seconds: number;
}

export interface CanaryLimits {
  readonly min_requests: number;
  readonly max_error_rate?: number | undefined;
  readonly max_latency_ratio?: number | undefined;
}

const countsOf = ({ statistics }: Generation): Baseline => ({
  ...statistics.counts,
  seconds: statistics.durations.sum,
});

/** Compares a canary with the version beside it, from the moment that both served. */
export class CanaryWatch {
  readonly #canary: Generation;
  readonly #stable: Generation;
  readonly #limits: CanaryLimits;
  readonly #before: readonly [Baseline, Baseline];

  constructor(canary: Generation, stable: Generation, limits: CanaryLimits) {
    this.#canary = canary;
    this.#stable = stable;
    this.#limits = limits;
    this.#before = [countsOf(canary), countsOf(stable)];
  }

  isOf(canary: Generation, stable: Generation): boolean {
    return this.#canary === canary && this.#stable === stable;
  }

  /** Why the canary must be taken back; undefined while it keeps within its limits. */
  verdict(): string | undefined {
    const { min_requests, max_error_rate, max_latency_ratio } = this.#limits;
    const canary = windowOf(this.#canary, this.#before[0]);
    const stable = windowOf(this.#stable, this.#before[1]);
    if (canary.requests < min_requests) return undefined;
    if (max_error_rate !== undefined && canary.errorRate > max_error_rate) {
      return `its error rate is ${canary.errorRate.toFixed(3)}, above max_error_rate ${max_error_rate}`;
    }
    if (max_latency_ratio === undefined || stable.requests < min_requests) return undefined;
    const ratio = canary.meanMs / stable.meanMs;
    if (ratio <= max_latency_ratio) return undefined;
    return `it takes ${ratio.toFixed(1)} times as long as version ${this.#stable.spec.version}, above max_latency_ratio ${max_latency_ratio}`;
  }
}

function windowOf(generation: Generation, before: Baseline): Window {
  const now = countsOf(generation);
  const failed = now.failed - before.failed;
  const requests = now.succeeded - before.succeeded + failed;
  const meanMs = ((now.seconds - before.seconds) * 1000) / Math.max(1, requests);
  return { requests, errorRate: failed / Math.max(1, requests), meanMs };
}
