import type { Sampling } from "../../src/contracts/index.ts";

/** How many of the last written tokens a penalty looks at. */
const PENALTY_WINDOW = 64;

/** Chooses the next token. Without a temperature it is the likeliest one. */
export class Sampler {
  readonly #sampling: Sampling;
  readonly #random: () => number;

  /** Choices of one request have different seeds, and the same ones again when the request is repeated. */
  constructor(sampling: Sampling, choice: number) {
    this.#sampling = sampling;
    this.#random =
      sampling.seed === undefined ? Math.random : mulberry32((sampling.seed + choice * 0x9e3779b9) >>> 0);
  }

  /** @param logits of each token of the vocabulary; changed by the penalties. */
  next(logits: Float32Array, written: readonly number[]): number {
    this.#penalise(logits, written.slice(-PENALTY_WINDOW));
    const { temperature = 0 } = this.#sampling;
    return temperature === 0 ? likeliest(logits) : this.#draw(logits, temperature);
  }

  /** Repetition as in CTRL (Keskar et al. 2019); frequency and presence as OpenAI defines them. */
  #penalise(logits: Float32Array, recent: readonly number[]): void {
    const { repeatPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = this.#sampling;
    const counts = new Map<number, number>();
    for (const token of recent) counts.set(token, (counts.get(token) ?? 0) + 1);
    for (const [token, count] of counts) {
      const logit = logits[token]!;
      const repeated = logit > 0 ? logit / repeatPenalty : logit * repeatPenalty;
      logits[token] = repeated - frequencyPenalty * count - presencePenalty;
    }
  }

  #draw(logits: Float32Array, temperature: number): number {
    const ranked = this.#kept(ranking(logits, temperature));
    const total = ranked.reduce((sum, { weight }) => sum + weight, 0);
    let left = this.#random() * total;
    for (const { token, weight } of ranked) {
      left -= weight;
      if (left <= 0) return token;
    }
    return ranked.at(-1)!.token;
  }

  /** top-k, then top-p, then min-p; at least one token is kept. */
  #kept(ranked: Weighted[]): Weighted[] {
    const { topK = ranked.length, topP = 1, minP = 0 } = this.#sampling;
    const first = ranked.slice(0, topK < 1 ? ranked.length : topK);
    const total = first.reduce((sum, { weight }) => sum + weight, 0);
    const least = minP * first[0]!.weight;
    let seen = 0;
    return first.filter(({ weight }, rank) => {
      const kept = rank === 0 || (seen < topP * total && weight >= least);
      seen += weight;
      return kept;
    });
  }
}

interface Weighted {
  readonly token: number;
  /** In proportion to its probability. */
  readonly weight: number;
}

function ranking(logits: Float32Array, temperature: number): Weighted[] {
  const highest = logits[likeliest(logits)]!;
  return Array.from(logits, (logit, token) => ({ token, weight: Math.exp((logit - highest) / temperature) }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight);
}

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token]! > logits[best]!) best = token;
  return best;
}

/** A small generator with a seed (Tommy Ettinger's mulberry32), uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
