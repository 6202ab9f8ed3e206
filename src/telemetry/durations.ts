/** Upper bounds of the buckets of most durations, in seconds. */
export const BOUNDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/**
 * A histogram of one series, of seconds unless its bounds are those of something else. Observing changes numbers in
 * place: hashing labels for each request, as metric libraries do, costs a tenth of a small request. Prometheus reads it
 * when it scrapes.
 */
export class Durations {
  count = 0;
  sum = 0;
  readonly bounds: readonly number[];
  /** How many fell into each bucket and none before it; the last is what no bound holds. */
  readonly buckets: Float64Array;

  constructor(bounds: readonly number[] = BOUNDS) {
    this.bounds = bounds;
    this.buckets = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.buckets[bucket]! += 1;
    this.count += 1;
    this.sum += value;
  }
}
