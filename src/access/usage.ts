import type { Log } from "../contracts/index.ts";
import type { Database, UsageTable } from "../store/tables.ts";
import type { Used } from "./account.ts";
import { Ledger } from "./ledger.ts";
import { monthOf } from "./limits/quotas.ts";

const FLUSH_MS = 1000;

export type UsageRow = UsageTable;

/** What keys use, by month and model: counted in memory and written every second. */
export class Usage implements AsyncDisposable {
  readonly #database: Database;
  readonly #ledger: Ledger<UsageRow>;

  constructor(database: Database, log: Log) {
    this.#database = database;
    const write = (rows: readonly UsageRow[]) => this.#write(rows);
    this.#ledger = new Ledger({ name: "usage", idOf, sum: sumOf, write, delayMs: FLUSH_MS }, log);
  }

  add(key_id: string, model: string, { requests, input, output }: Used): void {
    if (requests === 0 && input === 0 && output === 0) return;
    const month = monthOf(Date.now());
    this.#ledger.enter({ key_id, month, model, requests, input_tokens: input, output_tokens: output });
  }

  /** @param of which rows; absent: all. */
  async rows(
    of: { readonly month?: string; readonly key?: string; readonly model?: string } = {},
  ): Promise<UsageRow[]> {
    await this.#ledger.flush();
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.#ledger[Symbol.asyncDispose]();
  }

  async #write(rows: readonly UsageRow[]): Promise<void> {
    await this.#database
      .insertInto("usage")
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(["key_id", "month", "model"]).doUpdateSet((each) => ({
          requests: each("usage.requests", "+", each.ref("excluded.requests")),
          input_tokens: each("usage.input_tokens", "+", each.ref("excluded.input_tokens")),
          output_tokens: each("usage.output_tokens", "+", each.ref("excluded.output_tokens")),
        })),
      )
      .execute();
  }
}

const idOf = ({ key_id, month, model }: UsageRow): string => `${key_id} ${month} ${model}`;

function sumOf(one: UsageRow, other: UsageRow): UsageRow {
  return {
    ...one,
    requests: one.requests + other.requests,
    input_tokens: one.input_tokens + other.input_tokens,
    output_tokens: one.output_tokens + other.output_tokens,
  };
}
