import { randomUUID } from "node:crypto";
import { invalid } from "../../contracts/index.ts";
import { isLast } from "./event.ts";
import type { RedisConnection } from "./redis.ts";
import { RedisAnnouncements } from "./redis-announcements.ts";
import type { RedisChannels } from "./redis-channels.ts";
import type { StreamRecord } from "./redis-keys.ts";
import { eventOf, eventsKey, LEASE_MS, leaseKey, RECORD_MS, RENEW_MS, recordKey } from "./redis-keys.ts";
import { RedisReader } from "./redis-reader.ts";
import { RedisWriter } from "./redis-writer.ts";
import type { SharedLog, SharedReader, SharedWriter, StreamOwner } from "./shared-log.ts";

const WHAT = "a stream that may be resumed";

/** Streams in Redis, where every replica finds them. */
export class RedisLog implements SharedLog {
  readonly #connection: RedisConnection;
  readonly #announcements: RedisAnnouncements;
  readonly #graceMs: number;
  readonly #replica = randomUUID();
  readonly #writers = new Set<RedisWriter>();
  readonly #renewal: NodeJS.Timeout;

  constructor(connection: RedisConnection, channels: RedisChannels, graceMs: number) {
    this.#connection = connection;
    this.#announcements = new RedisAnnouncements(channels);
    this.#graceMs = graceMs;
    this.#renewal = setInterval(() => this.#renew(), RENEW_MS).unref();
  }

  async begin(id: string, owner: StreamOwner): Promise<SharedWriter> {
    const record = JSON.stringify({ owner, replica: this.#replica } satisfies StreamRecord);
    const claimed = await this.#connection.run(WHAT, async (redis) => {
      await redis.set(leaseKey(this.#replica), "1", "PX", LEASE_MS);
      return redis.set(recordKey(id), record, "PX", RECORD_MS, "NX");
    });
    if (claimed === null) {
      throw invalid(`A stream of request id '${id}' is there already: give each its own x-request-id`);
    }
    const ended = () => this.#writers.delete(writer);
    const writer = new RedisWriter(this.#connection.redis, id, { graceMs: this.#graceMs, ended });
    this.#writers.add(writer);
    return writer;
  }

  async find(id: string): Promise<SharedReader | undefined> {
    const [text, newest] = await this.#connection.run(WHAT, async (redis) => {
      return Promise.all([redis.get(recordKey(id)), redis.xrevrange(eventsKey(id), "+", "-", "COUNT", 1)]);
    });
    if (text === null) return undefined;
    const event = newest[0] && eventOf(newest[0]);
    return new RedisReader(id, JSON.parse(text) as StreamRecord, {
      redis: this.#connection.redis,
      announcements: this.#announcements,
      graceMs: this.#graceMs,
      last: event && isLast(event) ? event.number : undefined,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#renewal);
    await this.#connection.redis.del(leaseKey(this.#replica)).catch(() => {});
  }

  #renew(): void {
    if (this.#writers.size === 0) return;
    const pipeline = this.#connection.redis.pipeline();
    pipeline.set(leaseKey(this.#replica), "1", "PX", LEASE_MS);
    for (const writer of this.#writers) writer.renew(pipeline);
    void pipeline.exec().catch(() => {});
  }
}
