import type { Redis } from "ioredis";
import { Change } from "./change.ts";
import { channelOf } from "./redis-keys.ts";

/** Hears of new events over one connection, which is opened for the first reader. */
export class RedisAnnouncements implements Disposable {
  readonly #redis: Redis;
  readonly #heard = new Map<string, { readonly change: Change; readers: number }>();
  #subscriber: Redis | undefined;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** What happens whenever a stream has a new event. Without Redis it does not: readers look by themselves, too. */
  listen(id: string): { readonly change: Change } & Disposable {
    const channel = channelOf(id);
    const listening = this.#heard.get(channel) ?? { change: new Change(), readers: 0 };
    listening.readers += 1;
    this.#heard.set(channel, listening);
    if (listening.readers === 1)
      void this.#connection()
        .subscribe(channel)
        .catch(() => {});
    return { change: listening.change, [Symbol.dispose]: () => this.#leave(channel) };
  }

  [Symbol.dispose](): void {
    this.#subscriber?.disconnect();
  }

  #leave(channel: string): void {
    const listening = this.#heard.get(channel)!;
    listening.readers -= 1;
    if (listening.readers > 0) return;
    this.#heard.delete(channel);
    void this.#connection()
      .unsubscribe(channel)
      .catch(() => {});
  }

  #connection(): Redis {
    if (this.#subscriber === undefined) {
      this.#subscriber = this.#redis.duplicate({ lazyConnect: false, enableOfflineQueue: true });
      this.#subscriber.on("error", () => {});
      this.#subscriber.on("message", (channel: string) => this.#heard.get(channel)?.change.happened());
    }
    return this.#subscriber;
  }
}
