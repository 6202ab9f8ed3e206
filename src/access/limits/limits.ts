import { CapstanError, invalid } from "../../contracts/index.ts";
import type { Refusals } from "../refusals.ts";
import type { Role } from "../role.ts";
import type { Places } from "./places.ts";
import type { Quotas } from "./quotas.ts";
import type { Rate, RateState, Rates } from "./rates.ts";
import type { Share } from "./share.ts";

/** What a piece of work wants. */
export interface Wanted extends Share {
  /** Among the requests under way; `kept` is one that the request had before. */
  readonly place: "new" | "kept" | "none";
}

/** What a piece of work has taken; it is put right when the work is over. */
export interface Taken {
  /**
   * @param used tokens in and out.
   * @param none the work was all of its request, which counts for nothing.
   */
  settle(used: number, none: boolean): void;
  /** The request is not under way any more. */
  leave(): void;
}

/** Puts the tokens right that were taken of a minute. */
type Settle = (difference: number) => void;

const NO_SETTLING: Settle = () => {};
const NO_LEAVING = () => {};
const NOTHING: Taken = { settle: () => {}, leave: NO_LEAVING };

/** The limits of a role, for each of its keys: taken before a request with what it may use, put right afterwards. */
export class Limits {
  readonly #rates: Rates;
  readonly #quotas: Quotas;
  readonly #places: Places;
  readonly #refusals: Refusals;

  constructor(rates: Rates, quotas: Quotas, places: Places, refusals: Refusals) {
    this.#refusals = refusals;
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
    const leave = await this.#enter(key, role, wanted);
    let settleRates = NO_SETTLING;
    try {
      settleRates = await this.#takeRates(key, role, wanted, note);
      const month = isMonthly(role) ? await this.#reserve(key, role, wanted) : undefined;
      return {
        leave,
        settle: (used, none) => this.#settle(key, month, settleRates, used - wanted.tokens, none),
      };
    } catch (error) {
      settleRates(-wanted.tokens);
      leave();
      throw error;
    }
  }

  #settle(key: string, month: string | undefined, rates: Settle, tokens: number, none: boolean): void {
    rates(tokens);
    if (month !== undefined) this.#quotas.settle(key, month, { requests: none ? -1 : 0, tokens });
  }

  /** Resolves to the end of the stay among the requests under way. */
  async #enter(key: string, { name, concurrency }: Role, { place }: Wanted): Promise<() => void> {
    if (concurrency === null || place === "none") return NO_LEAVING;
    const entering = this.#places.take(key, name, concurrency, place);
    return this.#refusals.counting("concurrency", "RATE_LIMITED", entering);
  }

  #reserve(key: string, role: Role, wanted: Wanted): Promise<string> {
    return this.#refusals.counting("month", "QUOTA_EXCEEDED", this.#quotas.reserve(key, role, wanted));
  }

  /** Resolves to what puts the tokens right. Requests stay counted, failed ones as well: as in OpenAI's API. */
  async #takeRates(
    key: string,
    role: Role,
    { requests, tokens }: Wanted,
    note: (headers: Readonly<Record<string, string>>) => void,
  ): Promise<Settle> {
    const { requestsPerMinute, tokensPerMinute } = role;
    const take = async (rate: Rate, limit: number, points: number) => {
      const state = await this.#rates.take(rate, key, limit, points);
      note(headersOf(state));
      if (!state.granted) throw this.#limited(key, role, state);
      return state.settle;
    };
    if (requestsPerMinute !== null && requests > 0) await take("requests", requestsPerMinute, requests);
    // A model without tokens takes none: its callers are not told of them.
    if (tokensPerMinute === null || tokens === 0) return NO_SETTLING;
    if (tokens > tokensPerMinute) throw this.#tooLarge(role, tokensPerMinute, tokens);
    return take("tokens", tokensPerMinute, tokens);
  }

  #limited(key: string, role: Role, state: RateState): CapstanError {
    this.#refusals.add(`${state.rate}_per_minute`);
    return limited(key, role, state);
  }

  #tooLarge(role: Role, limit: number, tokens: number): CapstanError {
    this.#refusals.add("request_size");
    return tooLarge(role, limit, tokens);
  }
}

function tooLarge({ name }: Role, limit: number, tokens: number): CapstanError {
  const message = `The request may use ${tokens} tokens, and role '${name}' has ${limit} a minute: ask for fewer, or send less text`;
  return invalid(message, { param: "max_tokens" });
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

/** The names that clients of the OpenAI API look for. */
const HEADERS = {
  requests: headersFor("requests"),
  tokens: headersFor("tokens"),
} as const;

function headersFor(rate: Rate) {
  return {
    limit: `x-ratelimit-limit-${rate}`,
    remaining: `x-ratelimit-remaining-${rate}`,
    reset: `x-ratelimit-reset-${rate}`,
  };
}

function headersOf({ rate, limit, remaining, resetMs }: RateState): Record<string, string> {
  const names = HEADERS[rate];
  const tenths = Math.round(resetMs / 100);
  return {
    [names.limit]: String(limit),
    [names.remaining]: String(Math.max(0, remaining)),
    [names.reset]: `${Math.floor(tenths / 10)}.${tenths % 10}s`,
  };
}
