import type { Log } from "../../contracts/index.ts";
import type { Database, InferenceLogTable } from "../../store/tables.ts";
import type { Spool } from "./spool.ts";

const FLUSH_MS = 1000;
/** Rows of one statement: SQLite takes so many parameters and no more. */
const BATCH = 500;
/** With so many in memory, rows go to disk. */
const MOST_IN_MEMORY = 5000;
const RETENTION_MS = 60 * 60 * 1000;
const DELETED_AT_ONCE = 1000;

/** Writes rows in batches, off the path of requests. While the database is away they go to the spool. */
export class LogWriter implements AsyncDisposable {
  readonly #database: Database;
  readonly #spool: Spool;
  readonly #retentionMs: number;
  readonly #log: Log;
  readonly #timers: readonly NodeJS.Timeout[];
  #rows: InferenceLogTable[] = [];
  #flushing: Promise<void> = Promise.resolve();
  #isDown = false;
  written = 0;
  spooled = 0;
  lost = 0;

  constructor(database: Database, spool: Spool, retentionMs: number, log: Log) {
    this.#database = database;
    this.#spool = spool;
    this.#retentionMs = retentionMs;
    this.#log = log;
    const every = (ms: number, work: () => void) => setInterval(work, ms).unref();
    this.#timers = [every(FLUSH_MS, () => void this.flush()), every(RETENTION_MS, () => void this.forget())];
  }

  add(row: InferenceLogTable): void {
    this.#rows.push(row);
    if (this.#rows.length % BATCH === 0) void this.flush();
  }

  /** Resolves when everything so far is in the database or on disk. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  /** Deletes what is older than it may get. */
  async forget(now = Date.now()): Promise<void> {
    const old = this.#database
      .selectFrom("inference_log")
      .select("id")
      .where("at", "<", now - this.#retentionMs);
    try {
      for (;;) {
        const rows = await old.limit(DELETED_AT_ONCE).execute();
        if (rows.length === 0) return;
        const ids = rows.map(({ id }) => id);
        await this.#database.deleteFrom("inference_log").where("id", "in", ids).execute();
      }
    } catch (err) {
      this.#log.warn({ err }, "old rows of the inference log could not be deleted");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.flush();
    if (this.#rows.length > 0) await this.#toDisk(this.#rows.splice(0));
  }

  async #flush(): Promise<void> {
    try {
      if (this.#isDown || this.written === 0) await this.#spool.replay((rows) => this.#insert(rows));
      while (this.#rows.length > 0) {
        const batch = this.#rows.slice(0, BATCH);
        await this.#insert(batch);
        this.#rows.splice(0, batch.length);
      }
      this.#isDown = false;
    } catch (err) {
      if (!this.#isDown)
        this.#log.error({ err }, "the inference log goes to disk: its database does not take it");
      this.#isDown = true;
      if (this.#rows.length > 0) await this.#toDisk(this.#rows.splice(0));
    }
    if (this.#rows.length > MOST_IN_MEMORY) await this.#toDisk(this.#rows.splice(0));
  }

  async #insert(rows: readonly InferenceLogTable[]): Promise<void> {
    for (let from = 0; from < rows.length; from += BATCH) {
      const values = rows.slice(from, from + BATCH);
      await this.#database
        .insertInto("inference_log")
        .values(values)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      this.written += values.length;
    }
  }

  async #toDisk(rows: readonly InferenceLogTable[]): Promise<void> {
    try {
      await this.#spool.append(rows);
      this.spooled += rows.length;
    } catch (err) {
      this.lost += rows.length;
      this.#log.error(
        { err, rows: rows.length },
        "rows of the inference log are lost: the disk does not take them",
      );
    }
  }
}
