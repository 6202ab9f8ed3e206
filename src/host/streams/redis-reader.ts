import type { Redis } from "ioredis";
import { isLast, type NumberedEvent, StreamLost } from "./event.ts";
import type { RedisAnnouncements } from "./redis-announcements.ts";
import {
  awaitedKey,
  entryId,
  eventOf,
  eventsKey,
  leaseKey,
  RENEW_MS,
  recordKey,
  type StreamRecord,
} from "./redis-keys.ts";
import type { SharedReader, StreamOwner } from "./shared-log.ts";

export interface ReaderParts {
  readonly redis: Redis;
  readonly announcements: RedisAnnouncements;
  readonly graceMs: number;
  /** Number of the last event; absent while there are more to come. */
  readonly last: number | undefined;
}

/** Events read at once. */
const BATCH = 256;

/** A stream that another replica produces, or produced. */
export class RedisReader implements SharedReader {
  readonly #id: string;
  readonly #record: StreamRecord;
  readonly #parts: ReaderParts;

  constructor(id: string, record: StreamRecord, parts: ReaderParts) {
    this.#id = id;
    this.#record = record;
    this.#parts = parts;
  }

  get owner(): StreamOwner {
    return this.#record.owner;
  }

  isOver(number: number): boolean {
    return this.#parts.last === number;
  }

  async *read(after: number, signal: AbortSignal): AsyncGenerator<NumberedEvent> {
    using presence = new Presence(this.#parts, this.#id, after);
    using listening = this.#parts.announcements.listen(this.#id);
    for (;;) {
      const { times } = listening.change;
      const events = await this.#after(presence.number);
      for (const event of events) {
        yield event;
        presence.number = event.number;
        if (isLast(event)) return;
      }
      if (events.length > 0) presence.tell();
      else if (listening.change.times === times) await listening.change.next(signal, RENEW_MS);
    }
  }

  async #after(number: number): Promise<NumberedEvent[]> {
    const { redis } = this.#parts;
    const [record, lease, entries] = await Promise.all([
      redis.exists(recordKey(this.#id)),
      redis.exists(leaseKey(this.#record.replica)),
      redis.xrange(eventsKey(this.#id), `(${entryId(number)}`, "+", "COUNT", BATCH),
    ]).catch((cause) => {
      throw new StreamLost("Redis, which has the rest of this stream, does not answer: ask again", cause);
    });
    const events = entries.map(eventOf);
    if (events.length > 0 && events[0]!.number !== number + 1) throw new StreamLost(GAP);
    if (events.length === 0 && record === 0) throw new StreamLost(GAP);
    if (events.length === 0 && lease === 0) throw new StreamLost(DEAD);
    return events;
  }
}

const GAP = "The rest of this stream is not kept any more: ask again";
const DEAD = "The server that produced this stream is gone, and the rest with it: ask again";

/** Tells the producer, as long as it is held, that the client is here, and how far it has read. */
class Presence implements Disposable {
  number: number;
  readonly #parts: ReaderParts;
  readonly #id: string;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: ReaderParts, id: string, number: number) {
    this.#parts = parts;
    this.#id = id;
    this.number = number;
    this.tell();
    this.#timer = setInterval(() => this.tell(), RENEW_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#tell(this.#parts.graceMs);
  }

  /** Should this replica die before the next time, the client still has its time of grace. */
  tell(): void {
    this.#tell(this.#parts.graceMs + 2 * RENEW_MS);
  }

  #tell(milliseconds: number): void {
    const { redis } = this.#parts;
    void redis.set(awaitedKey(this.#id), this.number, "PX", Math.max(1, milliseconds)).catch(() => {});
  }
}
