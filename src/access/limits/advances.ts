import { type Share, sumOf } from "./share.ts";

/** A statement takes at most so many times what it was asked for, */
const MOST_TIMES = 32;
/** and at most this part of what is left: a replica that is killed takes with it what it had ahead. */
const PART = 1000;

/** What is left of a month, as it was last seen. */
export type Left = Share;

interface Advance {
  readonly share: Share;
  /** Since it was last asked whether it is idle. */
  readonly used: boolean;
}

/**
 * Shares of months that were taken before they are wanted, so that not every request costs a statement. Near the end of
 * a month's limit there are none: what is taken then is exactly what is asked for.
 */
export class Advances {
  readonly #held = new Map<string, Advance>();

  /** What to take beyond `share`; undefined where nothing is to be had in advance. */
  static beyond(share: Share, left: Left): Share | undefined {
    const times = Math.min(
      MOST_TIMES,
      timesIn(left.requests, share.requests),
      timesIn(left.tokens, share.tokens),
    );
    if (times < 1) return undefined;
    return { requests: share.requests * times, tokens: share.tokens * times };
  }

  /** Takes a share of what is held; false where that is not enough. */
  take(id: string, share: Share): boolean {
    const held = this.#held.get(id)?.share;
    if (held === undefined || held.requests < share.requests || held.tokens < share.tokens) return false;
    const rest = { requests: held.requests - share.requests, tokens: held.tokens - share.tokens };
    this.#held.set(id, { share: rest, used: true });
    return true;
  }

  add(id: string, share: Share): void {
    const held = this.#held.get(id)?.share;
    this.#held.set(id, { share: held === undefined ? share : sumOf(held, share), used: true });
  }

  /** Lets go of what nobody took from since the last call, or of all. */
  *release(all: boolean): Iterable<[id: string, share: Share]> {
    for (const [id, { share, used }] of this.#held) {
      if (used && !all) this.#held.set(id, { share, used: false });
      else {
        this.#held.delete(id);
        yield [id, share];
      }
    }
  }
}

const timesIn = (left: number, wanted: number): number =>
  wanted === 0 ? MOST_TIMES : Math.floor(left / PART / wanted);
