import type { Generation } from "../generation.ts";

/** So long counts at most; what came before says nothing about how a version does now. */
const WINDOW_MS = 10 * 60 * 1000;

/** Of a model version, for as long as it counts. */
interface Window {
  /** Without those that their callers gave up. */
  readonly requests: number;
  readonly errorRate: number;
  readonly meanMs: number;
}

interface Baseline {
  readonly succeeded: number;
  readonly failed: number;
  readonly abandoned: number;
  readonly seconds: number;
}

/** Where counting began, for the canary and for the version beside it. */
interface Mark {
  readonly at: number;
  readonly canary: Baseline;
  readonly stable: Baseline;
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

/** Compares a canary with the version beside it, from the moment that both served, by what they did lately. */
export class CanaryWatch {
  readonly #canary: Generation;
  readonly #stable: Generation;
  readonly #limits: CanaryLimits;
  /** The window begins at the first; the second is where the next one will. */
  #marks: readonly [Mark, Mark];

  constructor(canary: Generation, stable: Generation, limits: CanaryLimits) {
    this.#canary = canary;
    this.#stable = stable;
    this.#limits = limits;
    const mark = this.#mark();
    this.#marks = [mark, mark];
  }

  isOf(canary: Generation, stable: Generation): boolean {
    return this.#canary === canary && this.#stable === stable;
  }

  /** Why the canary must be taken back; undefined while it keeps within its limits. */
  verdict(): string | undefined {
    this.#moveOn();
    const [{ canary: canaryBefore, stable: stableBefore }] = this.#marks;
    const canary = windowOf(this.#canary, canaryBefore);
    const stable = windowOf(this.#stable, stableBefore);
    if (canary.requests < this.#limits.min_requests) return undefined;
    return this.#failing(canary, stable) ?? this.#slow(canary, stable);
  }

  /** Callers may be at fault, or what both versions call: that fails at the version beside it as well. */
  #failing(canary: Window, stable: Window): string | undefined {
    const { min_requests, max_error_rate } = this.#limits;
    const expected = stable.requests < min_requests ? 0 : stable.errorRate;
    if (max_error_rate === undefined || canary.errorRate - expected <= max_error_rate) return undefined;
    const rate = `its error rate is ${canary.errorRate.toFixed(3)}`;
    if (expected === 0) return `${rate}, above max_error_rate ${max_error_rate}`;
    const other = `that of version ${this.#stable.spec.version} is ${expected.toFixed(3)}`;
    return `${rate}, and ${other}: the difference is above max_error_rate ${max_error_rate}`;
  }

  #slow(canary: Window, stable: Window): string | undefined {
    const { min_requests, max_latency_ratio } = this.#limits;
    if (max_latency_ratio === undefined || stable.requests < min_requests) return undefined;
    const ratio = canary.meanMs / stable.meanMs;
    if (ratio <= max_latency_ratio) return undefined;
    return `it takes ${ratio.toFixed(1)} times as long as version ${this.#stable.spec.version}, above max_latency_ratio ${max_latency_ratio}`;
  }

  /** A window is at least half as long as it may be, and longer where there are too few requests to judge. */
  #moveOn(): void {
    const [, next] = this.#marks;
    if (performance.now() - next.at < WINDOW_MS / 2) return;
    if (windowOf(this.#canary, next.canary).requests >= this.#limits.min_requests)
      this.#marks = [next, this.#mark()];
  }

  #mark(): Mark {
    return { at: performance.now(), canary: countsOf(this.#canary), stable: countsOf(this.#stable) };
  }
}

function windowOf(generation: Generation, before: Baseline): Window {
  const now = countsOf(generation);
  const since = (key: keyof Baseline) => now[key] - before[key];
  const failed = since("failed") - since("abandoned");
  const requests = since("succeeded") + failed;
  const meanMs = (since("seconds") * 1000) / Math.max(1, since("succeeded") + since("failed"));
  return { requests, errorRate: failed / Math.max(1, requests), meanMs };
}
