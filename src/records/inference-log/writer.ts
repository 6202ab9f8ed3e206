import { setTimeout } from "node:timers/promises";
import type { Log } from "../../contracts/index.ts";
import type { InferenceLogTable } from "../../store/tables.ts";
import { insertRows, isFaultOfRows, type LogStore } from "./insert.ts";
import { forgetRows } from "./retention.ts";
import type { Spool } from "./spool.ts";

const FLUSH_MS = 1000;
const BATCH = 500;
/** With so many in memory, or so many characters of bodies, rows go to disk. */
const MOST_ROWS = 5000;
const MOST_CHARACTERS = 32 * 1024 * 1024;
const INSERT_MS = 5000;
const FIRST_RETENTION_MS = 60 * 1000;
const RETENTION_MS = 60 * 60 * 1000;
/** Between two looks into the spool for what other servers left there. */
const LOOK_MS = 60 * 1000;
/** Of the spool, between two batches of new rows. */
const FILES_AT_ONCE = 20;

/** What became of the rows so far. */
export interface LogCounts {
  /** In the database. */
  readonly written: number;
  /** On disk while the database was away; they count as written as well once they are. */
  readonly spooled: number;
  readonly lost: number;
  /** In memory. */
  readonly pending: number;
}

/** Writes rows in batches, off the path of requests. While the database is away they go to the spool. */
export class LogWriter implements AsyncDisposable {
  readonly #store: LogStore;
  readonly #spool: Spool;
  readonly #retentionMs: number;
  readonly #insertMs: number;
  readonly #log: Log;
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #closing = new AbortController();
  /** A row that changes while it waits is written once, as it is then. */
  readonly #rows = new Set<InferenceLogTable>();
  #characters = 0;
  #flushing: Promise<void> = Promise.resolve();
  #spilling: Promise<void> | undefined;
  #isDown = false;
  #isLosing = false;
  /** An insert that took too long, until it has ended: the next is not tried before. */
  #stuck = false;
  #maySpool = true;
  written = 0;
  spooled = 0;
  lost = 0;

  /** @param insertMs a database that takes longer for a batch counts as away. */
  constructor(store: LogStore, spool: Spool, retentionMs: number, log: Log, insertMs = INSERT_MS) {
    this.#insertMs = insertMs;
    this.#store = store;
    this.#spool = spool;
    this.#retentionMs = retentionMs;
    this.#log = log;
    const every = (ms: number, work: () => void) => setInterval(work, ms).unref();
    this.#timers = [
      every(FLUSH_MS, () => void this.flush()),
      every(LOOK_MS, () => (this.#maySpool = true)),
      every(RETENTION_MS, () => void this.forget()),
      globalThis.setTimeout(() => void this.forget(), FIRST_RETENTION_MS).unref(),
    ];
  }

  get counts(): LogCounts {
    return { written: this.written, spooled: this.spooled, lost: this.lost, pending: this.#rows.size };
  }

  /** Takes a row, which may change until it is written; adding it again has it written again if it was. */
  add(row: InferenceLogTable): void {
    if (this.#rows.has(row)) return;
    this.#rows.add(row);
    this.#characters += charactersOf(row);
    if (this.#rows.size >= MOST_ROWS || this.#characters >= MOST_CHARACTERS) this.#spill();
    else if (this.#rows.size % BATCH === 0) void this.flush();
  }

  /** Resolves when everything so far is in the database or on disk. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#flush());
    return this.#flushing;
  }

  /** Deletes what is older than it may get. */
  async forget(now = Date.now()): Promise<void> {
    const { signal } = this.#closing;
    try {
      await forgetRows(this.#store.database, now - this.#retentionMs, signal);
    } catch (err) {
      if (!signal.aborted) this.#log.warn({ err }, "old rows of the inference log could not be deleted");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const timer of this.#timers) clearTimeout(timer);
    await this.flush();
  }

  async #flush(): Promise<void> {
    let isTaking = !this.#stuck;
    while (this.#rows.size > 0) {
      const batch = this.#take(BATCH);
      isTaking &&= await this.#write(batch);
      if (!isTaking) await this.#toDisk(batch);
    }
    if (isTaking && this.#maySpool && !this.#closing.signal.aborted) await this.#replay();
    await this.#spilling;
  }

  /** Whether the database took them, or would take others. */
  async #write(rows: readonly InferenceLogTable[]): Promise<boolean> {
    try {
      await this.#insert(rows);
    } catch (err) {
      if (isFaultOfRows(err)) await this.#writeEach(rows);
      else return this.#isAway(err);
    }
    this.#isDown = false;
    return true;
  }

  /** One row that the database will never take must not keep the others from it. */
  async #writeEach(rows: readonly InferenceLogTable[]): Promise<void> {
    for (const row of rows) {
      try {
        await this.#insert([row]);
      } catch (err) {
        if (isFaultOfRows(err)) this.#lose(1, err, "the database refuses a row of the inference log");
        else await this.#toDisk([row]);
      }
    }
  }

  async #replay(): Promise<void> {
    const write = async (rows: readonly InferenceLogTable[]) => {
      if (!(await this.#write(rows))) throw new Error("the database is away");
    };
    try {
      this.#maySpool = await this.#spool.replay(write, FILES_AT_ONCE);
    } catch (err) {
      if (!this.#isDown) this.#log.warn({ err }, "rows of the inference log on disk cannot be read");
    }
  }

  async #insert(rows: readonly InferenceLogTable[]): Promise<void> {
    const inserting = insertRows(this.#store, rows).finally(() => {
      this.#stuck = false;
    });
    const waiting = new AbortController();
    const late = setTimeout(this.#insertMs, undefined, { signal: waiting.signal }).then(() => {
      this.#stuck = true;
      throw new Error(`the database took no rows within ${this.#insertMs} ms`);
    });
    late.catch(() => {});
    await Promise.race([inserting, late]).finally(() => waiting.abort());
    this.written += rows.length;
  }

  #isAway(err: unknown): false {
    if (!this.#isDown)
      this.#log.error({ err }, "the inference log goes to disk: its database does not take it");
    this.#isDown = true;
    return false;
  }

  /** The database does not keep up, or hangs. What disk cannot take in time either is lost: memory has a bound. */
  #spill(): void {
    const rows = this.#take(this.#rows.size);
    if (this.#spilling !== undefined) {
      this.#lose(rows.length, undefined, "rows of the inference log are lost: the disk is too slow for them");
      return;
    }
    this.#spilling = this.#toDisk(rows).finally(() => {
      this.#spilling = undefined;
    });
  }

  #take(most: number): InferenceLogTable[] {
    const rows: InferenceLogTable[] = [];
    for (const row of this.#rows) {
      if (rows.length === most) break;
      rows.push(row);
      this.#rows.delete(row);
    }
    this.#characters -= rows.reduce((sum, row) => sum + charactersOf(row), 0);
    if (this.#rows.size === 0) this.#characters = 0;
    return rows;
  }

  async #toDisk(rows: readonly InferenceLogTable[]): Promise<void> {
    try {
      await this.#spool.append(rows);
      this.spooled += rows.length;
      this.#maySpool = true;
      this.#isLosing = false;
    } catch (err) {
      this.#lose(rows.length, err, "rows of the inference log are lost: the disk does not take them");
    }
  }

  /** Says so at the first: what is lost later is in the counts. */
  #lose(count: number, err: unknown, message: string): void {
    this.lost += count;
    if (!this.#isLosing) this.#log.error({ err, rows: count }, message);
    this.#isLosing = true;
  }
}

const charactersOf = ({ request_body, response_body }: InferenceLogTable): number =>
  (request_body?.length ?? 0) + (response_body?.length ?? 0);
