import { CapstanError, type Log } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";
import type { Role } from "../role.ts";

type Monthly = Pick<Role, "requestsPerMonth" | "tokensPerMonth">;

/** A month in UTC, such as 2026-11. */
export const monthOf = (at: number): string => new Date(at).toISOString().slice(0, 7);

/** When the next month begins, in milliseconds from `at`. */
function untilNextMonth(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - at;
}

/**
 * Requests and tokens of a month. They are reserved by one conditional UPDATE, so that requests at the same time, also at
 * several replicas, never get more than there is.
 */
export class Quotas {
  readonly #database: Database;
  readonly #log: Log;

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
  }

  /** @throws CapstanError QUOTA_EXCEEDED saying when the next month begins. */
  async reserve(key: string, limits: Monthly, tokens: number, now = Date.now()): Promise<void> {
    const month = monthOf(now);
    if (await this.#take(key, month, limits, tokens)) return;
    const { requestsPerMonth, tokensPerMonth } = limits;
    const parts = [
      requestsPerMonth === null ? [] : [`${requestsPerMonth} requests`],
      tokensPerMonth === null ? [] : [`${tokensPerMonth} tokens`],
    ].flat();
    const message = `Key '${key}' may use ${parts.join(" and ")} a month, and this request would be more`;
    throw new CapstanError("QUOTA_EXCEEDED", message, { retryAfterMs: untilNextMonth(now) });
  }

  /** Puts right what was reserved, once it is known what was used. */
  async settle(key: string, difference: number, now = Date.now()): Promise<void> {
    if (difference === 0) return;
    try {
      await this.#database
        .updateTable("quotas")
        .set((each) => ({ tokens: each("tokens", "+", difference) }))
        .where("key_id", "=", key)
        .where("month", "=", monthOf(now))
        .execute();
    } catch (err) {
      this.#log.error({ err, key, difference }, "a quota could not be put right");
    }
  }

  async #take(key: string, month: string, limits: Monthly, tokens: number): Promise<boolean> {
    await this.#database
      .insertInto("quotas")
      .values({ key_id: key, month, requests: 0, tokens: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    const { requestsPerMonth, tokensPerMonth } = limits;
    let update = this.#database
      .updateTable("quotas")
      .set((each) => ({ requests: each("requests", "+", 1), tokens: each("tokens", "+", tokens) }))
      .where("key_id", "=", key)
      .where("month", "=", month);
    if (requestsPerMonth !== null) update = update.where("requests", "<", requestsPerMonth);
    if (tokensPerMonth !== null) update = update.where("tokens", "<=", tokensPerMonth - tokens);
    const { numUpdatedRows } = await update.executeTakeFirstOrThrow();
    return numUpdatedRows > 0n;
  }
}
