import { CapstanError, type Log } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";
import type { Role } from "../role.ts";
import { type Correction, Ledger } from "./ledger.ts";

type Monthly = Pick<Role, "name" | "requestsPerMonth" | "tokensPerMonth">;

/** Rows that are known to be there; when there are more of them, they are looked for anew. */
const MOST_KNOWN = 10_000;

/** A month in UTC, such as 2026-11. */
export const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7);

/** When the next month begins, in milliseconds since the epoch. */
function nextMonth(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** What a request takes of its month. */
export interface Share {
  readonly requests: number;
  readonly tokens: number;
}

/**
 * Requests and tokens of a month. They are reserved by one conditional UPDATE, so that requests at the same time, also at
 * several replicas, never get more than there is.
 */
export class Quotas implements AsyncDisposable {
  readonly #database: Database;
  readonly #ledger: Ledger;
  #known = new Set<string>();

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#ledger = new Ledger((corrections) => this.#correct(corrections), log);
  }

  /**
   * Resolves to the month it was taken of.
   * @throws CapstanError QUOTA_EXCEEDED saying when the next month begins; NOT_READY when the database does not answer.
   */
  async reserve(key: string, limits: Monthly, share: Share, now = Date.now()): Promise<string> {
    const month = monthOf(now);
    const taken = await this.#take(key, month, limits, share).catch((cause) => {
      const message = "Quotas cannot be checked now: their database does not answer";
      throw new CapstanError("NOT_READY", message, { cause });
    });
    if (taken) return month;
    throw exceeded(key, limits, share, now);
  }

  /** Puts right what was reserved of a month, once it is known what was used. */
  settle(key: string, month: string, difference: number): void {
    if (difference !== 0) this.#ledger.enter({ key_id: key, month, requests: 0, tokens: difference });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#ledger[Symbol.asyncDispose]();
  }

  async #take(key: string, month: string, limits: Monthly, { requests, tokens }: Share): Promise<boolean> {
    await this.#begin(key, month);
    const { requestsPerMonth, tokensPerMonth } = limits;
    let update = this.#database
      .updateTable("quotas")
      .set((each) => ({ requests: each("requests", "+", requests), tokens: each("tokens", "+", tokens) }))
      .where("key_id", "=", key)
      .where("month", "=", month);
    if (requestsPerMonth !== null) update = update.where("requests", "<=", requestsPerMonth - requests);
    if (tokensPerMonth !== null) update = update.where("tokens", "<=", tokensPerMonth - tokens);
    const { numUpdatedRows } = await update.executeTakeFirstOrThrow();
    return numUpdatedRows > 0n;
  }

  /** Makes the row of a month, once. */
  async #begin(key: string, month: string): Promise<void> {
    const id = `${key} ${month}`;
    if (this.#known.has(id)) return;
    await this.#database
      .insertInto("quotas")
      .values({ key_id: key, month, requests: 0, tokens: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.add(id);
  }

  async #correct(corrections: readonly Correction[]): Promise<void> {
    await this.#database
      .insertInto("quotas")
      .values(corrections)
      .onConflict((conflict) =>
        conflict.columns(["key_id", "month"]).doUpdateSet((each) => ({
          requests: each("quotas.requests", "+", each.ref("excluded.requests")),
          tokens: each("quotas.tokens", "+", each.ref("excluded.tokens")),
        })),
      )
      .execute();
  }
}

function exceeded(key: string, limits: Monthly, share: Share, now: number): CapstanError {
  const { requestsPerMonth, tokensPerMonth } = limits;
  const parts = [
    ...(requestsPerMonth === null ? [] : [`${requestsPerMonth} requests`]),
    ...(tokensPerMonth === null ? [] : [`${tokensPerMonth} tokens`]),
  ];
  const next = nextMonth(now);
  const message =
    `Key '${key}' of role '${limits.name}' may use ${parts.join(" and ")} a month, and this request of up to ` +
    `${share.tokens} tokens would be more; the next month begins at ${new Date(next).toISOString()}`;
  return new CapstanError("QUOTA_EXCEEDED", message, { retryAfterMs: next - now });
}
