import { CapstanError, invalid } from "../../contracts/index.ts";
import type { Role } from "../role.ts";
import type { Places } from "./places.ts";
import type { Quotas, Share } from "./quotas.ts";
import type { Rate, RateState, Rates } from "./rates.ts";

/** What a piece of work wants. */
export interface Wanted extends Share {
  /** Whether it counts as a request under way. */
  readonly place: boolean;
}

/** What a piece of work has taken; it is put right when the work is over. */
export interface Taken {
  /** @param used tokens in and out. */
  settle(used: number): void;
  /** The request is not under way any more. */
  leave(): void;
}

const NOTHING: Taken = { settle: () => {}, leave: () => {} };

/** The limits of a role, for each of its keys: taken before a request with what it may use, put right afterwards. */
export class Limits {
  readonly #rates: Rates;
  readonly #quotas: Quotas;
  readonly #places: Places;

  constructor(rates: Rates, quotas: Quotas, places: Places) {
    this.#rates = rates;
    this.#quotas = quotas;
    this.#places = places;
  }

  /**
   * @param note is told how the limits by the minute stand, as headers, also when one of them refuses.
   * @throws CapstanError RATE_LIMITED, QUOTA_EXCEEDED, or NOT_READY where a limit cannot be asked; INVALID_ARGUMENT for
   * work that is larger than any minute. No tokens are taken then.
   */
  async take(
    key: string,
    role: Role,
    wanted: Wanted,
    note: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<Taken> {
    if (!isLimited(role)) return NOTHING;
    await using undo = new AsyncDisposableStack();
    let leave = () => {};
    if (role.concurrency !== null && wanted.place) {
      leave = await this.#places.take(key, role.name, role.concurrency);
      undo.defer(leave);
    }
    const giveBack = await this.#takeRates(key, role, wanted, note);
    undo.defer(() => giveBack(-wanted.tokens));
    const month = isMonthly(role) ? await this.#quotas.reserve(key, role, wanted) : undefined;
    undo.move();
    return {
      leave,
      settle: (used) => {
        giveBack(used - wanted.tokens);
        if (month !== undefined) this.#quotas.settle(key, month, used - wanted.tokens);
      },
    };
  }

  /** Resolves to what puts the tokens right. Requests stay counted, refused ones as well: as in OpenAI's API. */
  async #takeRates(
    key: string,
    role: Role,
    { requests, tokens }: Wanted,
    note: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<(difference: number) => void> {
    const { requestsPerMinute, tokensPerMinute } = role;
    const states: RateState[] = [];
    const take = async (rate: Rate, limit: number, points: number) => {
      const state = await this.#rates.take(rate, key, limit, points);
      states.push(state);
      note(headersOf(states));
      if (!state.granted) throw limited(key, role, state);
    };
    if (requestsPerMinute !== null && requests > 0) await take("requests", requestsPerMinute, requests);
    if (tokensPerMinute === null) return () => {};
    checkSize(role, tokensPerMinute, tokens);
    await take("tokens", tokensPerMinute, tokens);
    const ends = Date.now() + states.at(-1)!.resetMs;
    return (difference) => {
      // What was taken of a minute that is over is not given to the next one.
      if (difference > 0 || Date.now() < ends) this.#rates.settle("tokens", key, tokensPerMinute, difference);
    };
  }
}

function checkSize({ name }: Role, limit: number, tokens: number): void {
  if (tokens <= limit) return;
  const message = `The request may use ${tokens} tokens, and role '${name}' has ${limit} a minute: ask for fewer, or send less text`;
  throw invalid(message, { param: "max_tokens" });
}

function limited(key: string, role: Role, { rate, limit, resetMs }: RateState): CapstanError {
  const seconds = Math.ceil(resetMs / 1000);
  const message = `Key '${key}' of role '${role.name}' may use ${limit} ${rate} a minute, and this request would be more; come back in ${seconds} s`;
  return new CapstanError("RATE_LIMITED", message, { retryAfterMs: resetMs });
}

const isMonthly = (role: Role) => role.requestsPerMonth !== null || role.tokensPerMonth !== null;
const isLimited = (role: Role) =>
  isMonthly(role) ||
  role.concurrency !== null ||
  role.requestsPerMinute !== null ||
  role.tokensPerMinute !== null;

/** Whether a role needs to know how many tokens a request may use. */
export const countsTokens = ({ tokensPerMinute, tokensPerMonth, maxTokens }: Role): boolean =>
  tokensPerMinute !== null || tokensPerMonth !== null || maxTokens !== null;

/** The names that clients of the OpenAI API look for. */
function headersOf(states: readonly RateState[]): Record<string, string> {
  return Object.fromEntries(
    states.flatMap(({ rate, limit, remaining, resetMs }) => [
      [`x-ratelimit-limit-${rate}`, String(limit)],
      [`x-ratelimit-remaining-${rate}`, String(Math.max(0, remaining))],
      [`x-ratelimit-reset-${rate}`, `${(resetMs / 1000).toFixed(1)}s`],
    ]),
  );
}
