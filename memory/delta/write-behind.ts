import { setTimeout as sleep } from "node:timers/promises";
import type { Call, Log, Session } from "../../src/contracts/index.ts";
import type { Entry, Journal } from "./journal.ts";
import type { Row } from "./statements.ts";
import { unlessAborted } from "./unless-aborted.ts";

/** Rows of one statement, about. */
const BATCH_ROWS = 200;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** How long a server that stops waits for its last rows; what is not written then stays in the journal. */
const LAST_WAIT_MS = 10_000;

export type Insert = (rows: readonly Row[]) => Promise<void>;

/** Writes rows in the background, together as they come, and again and again when that fails. */
export class WriteBehind implements AsyncDisposable {
  readonly #journal: Journal;
  readonly #insert: Insert;
  readonly #queue: Entry[];
  #writing: Promise<void> | undefined;
  #pause = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;
  #log: Log | undefined;
  #closing: Promise<void> | undefined;

  private constructor(journal: Journal, insert: Insert, left: Entry[]) {
    this.#journal = journal;
    this.#insert = insert;
    this.#queue = left;
  }

  /** Begins with what the journal still has. */
  static async start(journal: Journal, insert: Insert): Promise<WriteBehind> {
    const writer = new WriteBehind(journal, insert, await journal.entries());
    writer.#begin();
    return writer;
  }

  /** Returns when the rows cannot be lost any more. */
  async add(rows: readonly Row[], { log }: Call): Promise<void> {
    this.#log = log;
    this.#queue.push(await this.#journal.add(rows));
    this.#begin();
  }

  /**
   * Waits until the rows of a session, or of all sessions of an owner, are written.
   * @throws what the table says when they cannot be.
   */
  async settle({ owner, id }: Pick<Session, "owner"> & Partial<Session>, { signal }: Call): Promise<void> {
    const isAsked = (row: Row) => row.owner === owner && (id === undefined || row.session_id === id);
    while (this.#queue.some(({ rows }) => rows.some(isAsked))) await unlessAborted(this.#write(), signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    const waited = new AbortController();
    const last = this.#queue.length === 0 ? Promise.resolve() : this.#write().catch(() => {});
    const limit = sleep(LAST_WAIT_MS, undefined, { signal: waited.signal }).catch(() => {});
    await Promise.race([last, limit]);
    waited.abort();
    clearTimeout(this.#timer);
  }

  #begin(): void {
    // Its fault is logged, and told to who waits for it.
    if (this.#queue.length > 0) this.#write().catch(() => {});
  }

  #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#insert(batch.flatMap(({ rows }) => rows));
        await Promise.all(batch.map((entry) => this.#journal.remove(entry)));
      } catch (error) {
        this.#tryLater(error);
        throw error;
      }
      this.#queue.splice(0, batch.length);
      this.#pause = FIRST_PAUSE_MS;
    }
  }

  /** At least one entry: its rows are written together. */
  #nextBatch(): Entry[] {
    let rows = 0;
    const end = this.#queue.findIndex((entry) => {
      rows += entry.rows.length;
      return rows > BATCH_ROWS;
    });
    return this.#queue.slice(0, end === -1 ? undefined : Math.max(1, end));
  }

  #tryLater(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#log?.warn({ reason, waiting: this.#queue.length }, "Turns of conversations wait to be written");
    if (this.#closing !== undefined) return;
    this.#timer = setTimeout(() => this.#begin(), this.#pause).unref();
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }
}
