import { setTimeout as pause } from "node:timers/promises";
import type { Log } from "../../contracts/index.ts";

const RETRY_MS = 1000;
/** How often the last write is tried when the server stops. */
const LAST_TRIES = 3;

/** What is to be put right of a key's month. */
export interface Correction {
  readonly key_id: string;
  readonly month: string;
  readonly requests: number;
  readonly tokens: number;
}

/**
 * Corrections on their way to the database: written at once, and while it is away kept and tried again. Those of the
 * same key and month add up, so that memory is bounded by the number of keys.
 */
export class Ledger implements AsyncDisposable {
  readonly #write: (corrections: readonly Correction[]) => Promise<void>;
  readonly #log: Log;
  #pending = new Map<string, Correction>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #failed = false;

  /** @param write writes all, or throws and has written nothing. */
  constructor(write: (corrections: readonly Correction[]) => Promise<void>, log: Log) {
    this.#write = write;
    this.#log = log;
  }

  enter(correction: Correction): void {
    this.#add(correction);
    if (!this.#failed) void this.flush();
  }

  /** Resolves when all that was entered is written, or could not be. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#flush());
    return this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let left = LAST_TRIES; left > 0; left--) {
      await this.flush();
      if (this.#pending.size === 0 || left === 1) break;
      await pause(RETRY_MS / 2);
    }
    clearTimeout(this.#timer);
    if (this.#pending.size > 0)
      this.#log.error({ corrections: [...this.#pending.values()] }, "quotas could not be put right");
  }

  async #flush(): Promise<void> {
    if (this.#pending.size === 0) return;
    const corrections = [...this.#pending.values()];
    this.#pending = new Map();
    try {
      await this.#write(corrections);
      this.#failed = false;
    } catch (err) {
      for (const correction of corrections) this.#add(correction);
      this.#retry(err);
    }
  }

  /** Logged once for each outage. */
  #retry(err: unknown): void {
    if (!this.#failed) this.#log.error({ err }, "quotas cannot be put right now; it is tried again");
    this.#failed = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.flush(), RETRY_MS).unref();
  }

  #add(correction: Correction): void {
    const id = `${correction.key_id} ${correction.month}`;
    const { requests = 0, tokens = 0 } = this.#pending.get(id) ?? {};
    this.#pending.set(id, {
      ...correction,
      requests: requests + correction.requests,
      tokens: tokens + correction.tokens,
    });
  }
}
