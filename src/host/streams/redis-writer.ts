import type { ChainableCommander, Redis } from "ioredis";
import type { NumberedEvent } from "./event.ts";
import { awaitedKey, channelOf, entryId, eventsKey, RECORD_MS, recordKey } from "./redis-keys.ts";
import type { SharedWriter } from "./shared-log.ts";

export interface WriterOptions {
  readonly graceMs: number;
  /** It need not be renewed any more. */
  readonly ended: () => void;
}

/**
 * Writes the events of one stream. After a write that failed the log has a gap, so it is taken away: who comes back at
 * another replica is told that the stream is lost, instead of getting a text with a hole.
 */
export class RedisWriter implements SharedWriter {
  readonly #redis: Redis;
  readonly #id: string;
  readonly #options: WriterOptions;
  #broken = false;
  #over = false;

  constructor(redis: Redis, id: string, options: WriterOptions) {
    this.#redis = redis;
    this.#id = id;
    this.#options = options;
  }

  add({ number, name, data }: NumberedEvent): void {
    this.#write((pipeline) => {
      pipeline.xadd(eventsKey(this.#id), entryId(number), "name", name, "data", data);
      if (number === 1) pipeline.pexpire(eventsKey(this.#id), RECORD_MS);
      pipeline.publish(channelOf(this.#id), String(number));
    });
  }

  forgetBefore(number: number): void {
    this.#write((pipeline) => pipeline.xtrim(eventsKey(this.#id), "MINID", entryId(number)));
  }

  async position(): Promise<number> {
    return Number((await this.#redis.get(awaitedKey(this.#id)).catch(() => null)) ?? 0);
  }

  async awaitedMs(): Promise<number> {
    return Math.max(0, await this.#redis.pttl(awaitedKey(this.#id)).catch(() => 0));
  }

  end(): void {
    this.#over = true;
    this.#write((pipeline) => this.#expire(pipeline, this.#options.graceMs));
    if (!this.#broken) this.#options.ended();
  }

  renew(pipeline: ChainableCommander): void {
    if (!this.#broken) {
      this.#expire(pipeline, RECORD_MS);
      return;
    }
    pipeline.del(recordKey(this.#id), eventsKey(this.#id), (error) => {
      if (!error && this.#over) this.#options.ended();
    });
  }

  #expire(pipeline: ChainableCommander, milliseconds: number): void {
    pipeline.pexpire(recordKey(this.#id), milliseconds).pexpire(eventsKey(this.#id), milliseconds);
  }

  #write(commands: (pipeline: ChainableCommander) => void): void {
    if (this.#broken) return;
    const pipeline = this.#redis.pipeline();
    commands(pipeline);
    pipeline.exec().then(
      (results) => {
        if (results?.some(([error]) => error !== null)) this.#broken = true;
      },
      () => {
        this.#broken = true;
      },
    );
  }
}
