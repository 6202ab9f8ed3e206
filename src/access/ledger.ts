import { setTimeout as pause } from "node:timers/promises";
import type { Log } from "../contracts/index.ts";
import { inTime } from "./in-time.ts";

const RETRY_MS = 1000;
/** How often the last write is tried when the server stops. */
const LAST_TRIES = 3;
/** Entries of one statement: SQLite takes 32,766 values in one, Postgres 65,535. */
const MOST_AT_ONCE = 1000;

/** What kind of entries a ledger has. */
export interface LedgerOf<T> {
  /** Of what, for the log. */
  readonly name: string;
  /** Entries of the same id are added up. */
  idOf(entry: T): string;
  sum(one: T, other: T): T;
  /** Writes all, or throws and has written nothing. */
  write(entries: readonly T[]): Promise<void>;
  /** How long entries are collected before they are written; 0: those of one turn of the event loop. */
  readonly delayMs: number;
}

/**
 * Sums on their way to the database; while it is away they are kept and tried again. Entries of the same id add up, so
 * that memory is bounded by the number of keys and models.
 */
export class Ledger<T> implements AsyncDisposable {
  readonly #of: LedgerOf<T>;
  readonly #log: Log;
  #pending = new Map<string, T>();
  #timer: NodeJS.Timeout | undefined;
  #immediate: NodeJS.Immediate | undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Those that a statement under way has. */
  #onTheirWay: readonly T[] = [];
  #behind = false;

  constructor(of: LedgerOf<T>, log: Log) {
    this.#of = of;
    this.#log = log;
  }

  /** Whether the last write failed: the database lacks something that is kept here. */
  get behind(): boolean {
    return this.#behind;
  }

  enter(entry: T): void {
    this.#add(entry);
    if (this.#behind) return;
    if (this.#of.delayMs === 0) this.#inThisTurn();
    else this.#later(this.#of.delayMs);
  }

  /** Resolves when all that was entered is written, or could not be. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#flush());
    return this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let left = LAST_TRIES; left > 0; left--) {
      await inTime(this.flush()).catch(() => {});
      if (this.#unwritten.length === 0 || left === 1) break;
      await pause(RETRY_MS / 2);
    }
    clearTimeout(this.#timer);
    const lost = this.#unwritten;
    if (lost.length > 0) this.#log.error({ lost }, `${this.#of.name} could not be written`);
  }

  get #unwritten(): readonly T[] {
    return [...this.#onTheirWay, ...this.#pending.values()];
  }

  async #flush(): Promise<void> {
    this.#onTheirWay = [...this.#pending.values()];
    this.#pending = new Map();
    try {
      while (this.#onTheirWay.length > 0) {
        await this.#of.write(this.#onTheirWay.slice(0, MOST_AT_ONCE));
        this.#onTheirWay = this.#onTheirWay.slice(MOST_AT_ONCE);
        this.#behind = false;
      }
    } catch (err) {
      for (const entry of this.#onTheirWay) this.#add(entry);
      this.#onTheirWay = [];
      this.#failed(err);
    }
  }

  /** Logged once for each outage. */
  #failed(err: unknown): void {
    const message = `${this.#of.name} cannot be written now; it is kept and tried again`;
    if (!this.#behind) this.#log.error({ err }, message);
    this.#behind = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#later(RETRY_MS);
  }

  /** What else is entered in this turn of the event loop goes along. */
  #inThisTurn(): void {
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      void this.flush();
    });
  }

  #later(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, afterMs).unref();
  }

  #add(entry: T): void {
    const id = this.#of.idOf(entry);
    const kept = this.#pending.get(id);
    this.#pending.set(id, kept === undefined ? entry : this.#of.sum(kept, entry));
  }
}
