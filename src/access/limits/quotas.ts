import type { CompiledQuery } from "kysely";
import { LRUCache } from "lru-cache";
import { CapstanError, type Log } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";
import { inTime } from "../in-time.ts";
import { Ledger } from "../ledger.ts";
import type { Role } from "../role.ts";
import { JoinedTakes } from "./joined-takes.ts";
import { type Share, sumOf } from "./share.ts";

type Monthly = Pick<Role, "name" | "requestsPerMonth" | "tokensPerMonth">;

/** Months of keys whose counts are remembered for the time when the database is away. */
const MOST_SEEN = 10_000;

/** How long a database that did not answer is left alone. */
const AWAY_MS = 1000;

/** The last one asked for: writing it costs more than the rest of a small request's limits. */
let current = { from: 0, to: 0, name: "" };

/** A month in UTC, such as 2026-11. */
export function monthOf(at: number): string {
  if (at < current.from || at >= current.to) {
    current = { from: at, to: nextMonth(at), name: new Date(at).toISOString().slice(0, 7) };
  }
  return current.name;
}

/** When the next month begins, in milliseconds since the epoch. */
function nextMonth(at: number): number {
  const date = new Date(at);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** What is to be added to a key's month. */
export interface Correction extends Share {
  readonly key_id: string;
  readonly month: string;
}

const NOTHING: Share = { requests: 0, tokens: 0 };

/**
 * Requests and tokens of a month. They are reserved by one conditional UPDATE, so that requests at the same time, also at
 * several replicas, never get more than there is. While the database is away each replica goes on from the counts that it
 * saw last, and writes what it let pass when the database is back.
 */
export class Quotas implements AsyncDisposable {
  readonly #database: Database;
  readonly #ledger: Ledger<Correction>;
  readonly #joined = new JoinedTakes();
  readonly #taking: CompiledQuery<Share>;
  #awayUntil = 0;
  /** Whose rows are there. */
  readonly #begun = new LRUCache<string, true>({ max: MOST_SEEN });
  readonly #seen = new LRUCache<string, Share>({ max: MOST_SEEN });

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#taking = takingQuery(database);
    const write = (corrections: readonly Correction[]) => this.#correct(corrections);
    this.#ledger = new Ledger<Correction>({ name: "quotas", idOf, sum: sumOf, write, delayMs: 0 }, log);
  }

  /**
   * Resolves to the month it was taken of.
   * @throws CapstanError QUOTA_EXCEEDED saying when the next month begins.
   */
  async reserve(key: string, limits: Monthly, share: Share, now = Date.now()): Promise<string> {
    const month = monthOf(now);
    const isAway = this.#ledger.behind || now < this.#awayUntil;
    const taken = isAway
      ? this.#takeHere(key, month, limits, share)
      : await this.#takeInTime(key, month, limits, share);
    if (taken) return month;
    throw exceeded(key, limits, share, now);
  }

  /** Puts right what was reserved of a month, once it is known what was used. */
  settle(key: string, month: string, difference: Share): void {
    if (difference.requests !== 0 || difference.tokens !== 0) this.#enter(key, month, difference);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#ledger[Symbol.asyncDispose]();
  }

  /** The database's word, or that of this replica where the database gives none. */
  async #takeInTime(key: string, month: string, limits: Monthly, share: Share): Promise<boolean> {
    const { requestsPerMonth, tokensPerMonth } = limits;
    const id = `${idOf({ key_id: key, month })} ${requestsPerMonth} ${tokensPerMonth}`;
    const taking = this.#joined.take(id, share, (sum) => this.#take(key, month, limits, sum));
    try {
      return await inTime(taking);
    } catch {
      this.#awayUntil = Date.now() + AWAY_MS;
      const { requests, tokens } = share;
      // What the database took too late was taken twice.
      taking.then(
        (taken) => taken && this.#enter(key, month, { requests: -requests, tokens: -tokens }),
        () => {},
      );
      return this.#takeHere(key, month, limits, share);
    }
  }

  async #take(key: string, month: string, limits: Monthly, share: Share): Promise<boolean> {
    await this.#begin(key, month);
    const { requestsPerMonth, tokensPerMonth } = limits;
    const most = [leftAfter(requestsPerMonth, share.requests), leftAfter(tokensPerMonth, share.tokens)];
    const parameters = [share.requests, share.tokens, key, month, ...most];
    const { rows } = await this.#database.executeQuery<Share>({ ...this.#taking, parameters });
    const [counts] = rows;
    if (counts !== undefined) this.#seen.set(idOf({ key_id: key, month }), counts);
    return counts !== undefined;
  }

  #takeHere(key: string, month: string, limits: Monthly, share: Share): boolean {
    const { requestsPerMonth, tokensPerMonth } = limits;
    const { requests, tokens } = sumOf(this.#seen.get(idOf({ key_id: key, month })) ?? NOTHING, share);
    if (requests > (requestsPerMonth ?? Number.POSITIVE_INFINITY)) return false;
    if (tokens > (tokensPerMonth ?? Number.POSITIVE_INFINITY)) return false;
    this.#enter(key, month, share);
    return true;
  }

  #enter(key_id: string, month: string, share: Share): void {
    const id = idOf({ key_id, month });
    const { requests, tokens } = share;
    this.#seen.set(id, sumOf(this.#seen.get(id) ?? NOTHING, share));
    this.#ledger.enter({ key_id, month, requests, tokens });
  }

  /** Makes the row of a month, once. */
  async #begin(key: string, month: string): Promise<void> {
    const id = idOf({ key_id: key, month });
    if (this.#begun.has(id)) return;
    await this.#database
      .insertInto("quotas")
      .values({ key_id: key, month, requests: 0, tokens: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    this.#begun.set(id, true);
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

/** The statement of one take, whose parameters are filled in each time: building it takes longer than running it. */
function takingQuery(database: Database): CompiledQuery<Share> {
  return database
    .updateTable("quotas")
    .set((each) => ({ requests: each("requests", "+", 0), tokens: each("tokens", "+", 0) }))
    .where("key_id", "=", "")
    .where("month", "=", "")
    .where("requests", "<=", 0)
    .where("tokens", "<=", 0)
    .returning(["requests", "tokens"])
    .compile();
}

/** The most that may have been used before. */
const leftAfter = (limit: number | null, wanted: number) => (limit ?? Number.MAX_SAFE_INTEGER) - wanted;

function idOf({ key_id, month }: Pick<Correction, "key_id" | "month">): string {
  return `${key_id} ${month}`;
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
