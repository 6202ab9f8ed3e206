import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "../contracts/index.ts";
import { isUnreachable } from "./unreachable.ts";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;

type Work = () => Promise<void>;

/** What the log says of a database that is waited for. */
export interface Awaited {
  /** Without secrets. */
  readonly database: string;
  /** What is different until it answers. */
  readonly meanwhile: string;
}

/**
 * What has to be done with a database before it is used: its schema, the first key. A database that cannot be reached is
 * waited for, and then it is done, in the order it was asked for; a database that answers with an error is a wrong one.
 */
export class Arrival implements AsyncDisposable {
  readonly #awaited: Awaited;
  readonly #log: Log;
  readonly #waiting: Work[] = [];
  readonly #closing = new AbortController();
  #retrying: Promise<void> | undefined;

  constructor(awaited: Awaited, log: Log) {
    this.#awaited = awaited;
    this.#log = log;
  }

  /** Whether all that was asked for is done. */
  get isHere(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves when it is; to false when it was closed before. */
  async whenHere(): Promise<boolean> {
    await this.#retrying;
    return this.isHere;
  }

  /**
   * Does `work` now, or puts it off until the database can be reached. It is done again from its beginning when the
   * database goes away meanwhile.
   * @throws what `work` throws, unless it says that the database cannot be reached.
   */
  async first(work: Work): Promise<void> {
    this.#waiting.push(work);
    if (this.#retrying !== undefined) return;
    try {
      await this.#doAll();
    } catch (err) {
      if (!isUnreachable(err)) throw err;
      const { database, meanwhile } = this.#awaited;
      this.#log.warn({ err, database }, `the database cannot be reached, and is waited for: ${meanwhile}`);
      this.#retrying = this.#retry();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#retrying;
  }

  async #retry(): Promise<void> {
    const { signal } = this.#closing;
    let said = "";
    for (let pause = FIRST_PAUSE_MS; !this.isHere; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      await sleep(pause, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      const fault = await this.#doAll().then(() => undefined, faultOf);
      if (fault !== undefined && fault.message !== said && !signal.aborted) this.#report(fault);
      said = fault?.message ?? "";
    }
    this.#retrying = undefined;
    this.#log.info({ database: this.#awaited.database }, "the database is here");
  }

  /** Nobody is there to be told by an exit code any more: somebody may still put it right. */
  #report(err: Error): void {
    if (isUnreachable(err)) return;
    this.#log.error({ err, database: this.#awaited.database }, "the database answers, and cannot be used");
  }

  async #doAll(): Promise<void> {
    for (let work = this.#waiting[0]; work !== undefined; work = this.#waiting[0]) {
      await work();
      this.#waiting.shift();
    }
  }
}

const faultOf = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
