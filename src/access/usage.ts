import type { Log } from "../contracts/index.ts";
import type { Database } from "../store/tables.ts";
import type { Used } from "./account.ts";
import { monthOf } from "./limits/quotas.ts";

const FLUSH_MS = 1000;

interface Count {
  readonly key_id: string;
  readonly month: string;
  readonly model: string;
  requests: number;
  input_tokens: number;
  output_tokens: number;
}

export interface UsageRow extends Readonly<Count> {}

/** What keys use, by month and model: counted in memory and written every second. */
export class Usage implements AsyncDisposable {
  readonly #database: Database;
  readonly #log: Log;
  #counts = new Map<string, Count>();
  readonly #timer: NodeJS.Timeout;
  #writing: Promise<void> = Promise.resolve();

  constructor(database: Database, log: Log) {
    this.#database = database;
    this.#log = log;
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS).unref();
  }

  add(key: string, model: string, { requests, input, output }: Used): void {
    const month = monthOf(Date.now());
    const id = JSON.stringify([key, month, model]);
    const count = this.#counts.get(id) ?? {
      ...{ key_id: key, month, model },
      ...{ requests: 0, input_tokens: 0, output_tokens: 0 },
    };
    count.requests += requests;
    count.input_tokens += input;
    count.output_tokens += output;
    this.#counts.set(id, count);
  }

  /** Writes what was counted; what cannot be written is kept for the next time. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#flush());
    return this.#writing;
  }

  /** @param of which rows; absent: all. */
  async rows(
    of: { readonly month?: string; readonly key?: string; readonly model?: string } = {},
  ): Promise<UsageRow[]> {
    await this.flush();
    let query = this.#database
      .selectFrom("usage")
      .selectAll()
      .orderBy("month")
      .orderBy("key_id")
      .orderBy("model");
    if (of.month !== undefined) query = query.where("month", "=", of.month);
    if (of.key !== undefined) query = query.where("key_id", "=", of.key);
    if (of.model !== undefined) query = query.where("model", "=", of.model);
    return query.execute();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #flush(): Promise<void> {
    if (this.#counts.size === 0) return;
    const counts = this.#counts;
    this.#counts = new Map();
    try {
      for (const count of counts.values()) await this.#write(count);
    } catch (err) {
      this.#log.error({ err }, "usage could not be written; it is kept");
      for (const [id, count] of counts) this.#keep(id, count);
    }
  }

  async #write(count: Count): Promise<void> {
    await this.#database
      .insertInto("usage")
      .values(count)
      .onConflict((conflict) =>
        conflict.columns(["key_id", "month", "model"]).doUpdateSet((each) => ({
          requests: each("usage.requests", "+", count.requests),
          input_tokens: each("usage.input_tokens", "+", count.input_tokens),
          output_tokens: each("usage.output_tokens", "+", count.output_tokens),
        })),
      )
      .execute();
    Object.assign(count, { requests: 0, input_tokens: 0, output_tokens: 0 });
  }

  #keep(id: string, count: Count): void {
    const later = this.#counts.get(id);
    if (later !== undefined) {
      later.requests += count.requests;
      later.input_tokens += count.input_tokens;
      later.output_tokens += count.output_tokens;
    } else if (count.requests > 0) this.#counts.set(id, count);
  }
}
