import type { CompiledQuery } from "kysely";
import { LRUCache } from "lru-cache";
import { CapstanError, type Log } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";
import { inTime } from "../in-time.ts";
import { Ledger } from "../ledger.ts";
import type { Role } from "../role.ts";
import { Advances } from "./advances.ts";
import { JoinedTakes } from "./joined-takes.ts";
import { type Share, sumOf } from "./share.ts";

type Monthly = Pick<Role, "name" | "requestsPerMonth" | "tokensPerMonth">;

/** Months of keys whose counts are remembered for the time when the database is away. */
const MOST_SEEN = 10_000;

/** What nobody wanted for so long is given back. */
const IDLE_MS = 1000;

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

/** The month of a key, and what its role has of it. */
interface LimitedMonth {
  readonly key_id: string;
  readonly month: string;
  readonly limits: Monthly;
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
  readonly #advances = new Advances();
  readonly #timer: NodeJS.Timeout;
  readonly #taking: CompiledQuery<Share>;
  #awayUntil = 0;
  /** Whose rows are there. */
  readonly #begun = new LRUCache<string, true>({ max: MOST_SEEN });
  readonly #seen = new LRUCache<string, Share>({ max: MOST_SEEN });

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#taking = takingQuery(database);
    const write = (corrections: readonly Correction[]) => this.#correct(corrections);
    this.#ledger = new Ledger<Correction>(
      { name: "quotas", idOf: rowOf, sum: sumOf, write, delayMs: 0 },
      log,
    );
    this.#timer = setInterval(() => this.#giveBack(false), IDLE_MS).unref();
  }

  /**
   * Resolves to the month it was taken of.
   * @throws CapstanError QUOTA_EXCEEDED saying when the next month begins.
   */
  async reserve(key: string, limits: Monthly, share: Share, now = Date.now()): Promise<string> {
    const month = { key_id: key, month: monthOf(now), limits };
    const id = idOf(month);
    const taken = this.#advances.take(id, share) || (await this.#takeNow(id, month, share, now));
    if (taken) return month.month;
    throw exceeded(key, limits, share, now);
  }

  /** Puts right what was reserved of a month, once it is known what was used. */
  settle(key_id: string, month: string, { requests, tokens }: Share): void {
    if (requests !== 0 || tokens !== 0) this.#enter({ key_id, month, requests, tokens });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#giveBack(true);
    await this.#ledger[Symbol.asyncDispose]();
  }

  /** The database's word, or that of this replica where the database gives none. */
  async #takeNow(id: string, month: LimitedMonth, share: Share, now: number): Promise<boolean> {
    if (this.#ledger.behind || now < this.#awayUntil) return this.#takeHere(month, share);
    try {
      return await this.#joined.take(id, share, (sum) => this.#takeInTime(id, month, sum));
    } catch {
      this.#awayUntil = Date.now() + AWAY_MS;
      return this.#takeHere(month, share);
    }
  }

  async #takeInTime(id: string, month: LimitedMonth, share: Share): Promise<boolean> {
    const taking = this.#takeAhead(id, month, share);
    try {
      return await inTime(taking);
    } catch (error) {
      const { key_id, month: name } = month;
      const back = { key_id, month: name, requests: -share.requests, tokens: -share.tokens };
      // What the database took too late was taken twice.
      taking.then(
        (taken) => taken && this.#enter(back),
        () => {},
      );
      throw error;
    }
  }

  /** Takes more than is asked for, where there was plenty when the month was last seen. */
  async #takeAhead(id: string, month: LimitedMonth, share: Share): Promise<boolean> {
    await this.#begin(month);
    if (this.#advances.take(id, share)) return true;
    const seen = this.#seen.get(rowOf(month));
    const beyond = seen && Advances.beyond(share, leftOf(month.limits, seen));
    if (beyond === undefined || !(await this.#take(month, sumOf(share, beyond))))
      return this.#take(month, share);
    this.#advances.add(id, beyond);
    return true;
  }

  async #take(month: LimitedMonth, share: Share): Promise<boolean> {
    const { requestsPerMonth, tokensPerMonth } = month.limits;
    const most = [leftAfter(requestsPerMonth, share.requests), leftAfter(tokensPerMonth, share.tokens)];
    const parameters = [share.requests, share.tokens, month.key_id, month.month, ...most];
    const { rows } = await this.#database.executeQuery<Share>({ ...this.#taking, parameters });
    const [counts] = rows;
    if (counts !== undefined) this.#seen.set(rowOf(month), counts);
    return counts !== undefined;
  }

  #giveBack(all: boolean): void {
    for (const [id, { requests, tokens }] of this.#advances.release(all)) {
      const [key_id, month] = id.split(" ") as [string, string];
      this.settle(key_id, month, { requests: -requests, tokens: -tokens });
    }
  }

  #takeHere({ key_id, month, limits }: LimitedMonth, share: Share): boolean {
    const { requestsPerMonth, tokensPerMonth } = limits;
    const { requests, tokens } = sumOf(this.#seen.get(rowOf({ key_id, month })) ?? NOTHING, share);
    if (requests > (requestsPerMonth ?? Number.POSITIVE_INFINITY)) return false;
    if (tokens > (tokensPerMonth ?? Number.POSITIVE_INFINITY)) return false;
    this.#enter({ key_id, month, requests: share.requests, tokens: share.tokens });
    return true;
  }

  #enter(correction: Correction): void {
    const row = rowOf(correction);
    this.#seen.set(row, sumOf<Share>(this.#seen.get(row) ?? NOTHING, correction));
    this.#ledger.enter(correction);
  }

  /** Makes the row of a month, once, and sees what is in it. */
  async #begin({ key_id, month }: LimitedMonth): Promise<void> {
    const row = rowOf({ key_id, month });
    if (this.#begun.has(row)) return;
    await this.#database
      .insertInto("quotas")
      .values({ key_id, month, requests: 0, tokens: 0 })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
    this.#begun.set(row, true);
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

function rowOf({ key_id, month }: Pick<Correction, "key_id" | "month">): string {
  return `${key_id} ${month}`;
}

/** Shares with the same one mean the same, and may be taken together. */
function idOf(month: LimitedMonth): string {
  const { requestsPerMonth, tokensPerMonth } = month.limits;
  return `${rowOf(month)} ${requestsPerMonth} ${tokensPerMonth}`;
}

function leftOf({ requestsPerMonth, tokensPerMonth }: Monthly, { requests, tokens }: Share): Share {
  return { requests: leftAfter(requestsPerMonth, requests), tokens: leftAfter(tokensPerMonth, tokens) };
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
