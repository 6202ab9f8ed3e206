import type { CallRecord } from "../../contracts/index.ts";
import type { Role } from "../role.ts";
import { Places } from "./places.ts";
import type { Quotas } from "./quotas.ts";
import type { RateState, Rates } from "./rates.ts";

/** What a request has taken; it is put right when the request is over. */
export interface Taken {
  /** How the limits by the minute stand, as headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** @param used tokens in and out; undefined where the model never ran. */
  settle(used: number | undefined): void;
}

const NOTHING: Taken = { headers: {}, settle: () => {} };

/** The limits of a role, for each of its keys: taken before a request with what it may use, put right afterwards. */
export class Limits {
  readonly #rates: Rates;
  readonly #quotas: Quotas;
  readonly #places = new Places();

  constructor(rates: Rates, quotas: Quotas) {
    this.#rates = rates;
    this.#quotas = quotas;
  }

  /**
   * @param estimate tokens the request may use.
   * @throws CapstanError RATE_LIMITED, QUOTA_EXCEEDED; nothing is taken then.
   */
  async take(key: string, role: Role, estimate: number): Promise<Taken> {
    if (!isLimited(role)) return NOTHING;
    await using undo = new AsyncDisposableStack();
    if (role.concurrency !== null) {
      this.#places.take(key, role.concurrency);
      undo.defer(() => this.#places.leave(key));
    }
    const states = await this.#takeRates(key, role, estimate, undo);
    if (isMonthly(role)) await this.#quotas.reserve(key, role, estimate);
    undo.move();
    return { headers: headersOf(states), settle: (used = 0) => this.#settle(key, role, used - estimate) };
  }

  async #takeRates(
    key: string,
    role: Role,
    estimate: number,
    undo: AsyncDisposableStack,
  ): Promise<RateState[]> {
    const states: RateState[] = [];
    for (const [rate, limit, points] of [
      ["requests", role.requestsPerMinute, 1],
      ["tokens", role.tokensPerMinute, estimate],
    ] as const) {
      if (limit === null) continue;
      states.push(await this.#rates.take(rate, key, limit, Math.min(points, limit)));
      undo.defer(() => this.#rates.settle(rate, key, limit, -Math.min(points, limit)));
    }
    return states;
  }

  #settle(key: string, role: Role, difference: number): void {
    if (role.concurrency !== null) this.#places.leave(key);
    if (role.tokensPerMinute !== null) this.#rates.settle("tokens", key, role.tokensPerMinute, difference);
    if (isMonthly(role)) void this.#quotas.settle(key, difference);
  }
}

const isMonthly = (role: Role) => role.requestsPerMonth !== null || role.tokensPerMonth !== null;
const isLimited = (role: Role) =>
  isMonthly(role) ||
  role.concurrency !== null ||
  role.requestsPerMinute !== null ||
  role.tokensPerMinute !== null;

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

/** Tokens a request used, as far as is known. */
export function tokensOf({ inputTokens, outputTokens }: CallRecord): number | undefined {
  if (inputTokens === undefined && outputTokens === undefined) return undefined;
  return (inputTokens ?? 0) + (outputTokens ?? 0);
}
