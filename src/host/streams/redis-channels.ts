import type { Redis } from "ioredis";

type Heard = (message: string) => void;

/** Hears what is published, over one connection, which is opened for the first who listens. */
export class RedisChannels implements Disposable {
  readonly #redis: Redis;
  readonly #listeners = new Map<string, Set<Heard>>();
  #subscriber: Redis | undefined;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** Calls `heard` with each message until it is disposed. What is published while Redis is away is not heard. */
  listen(channel: string, heard: Heard): Disposable {
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(heard));
    if (listeners.size === 1) this.#subscribe(channel);
    return { [Symbol.dispose]: () => this.#leave(channel, listeners, heard) };
  }

  [Symbol.dispose](): void {
    this.#subscriber?.disconnect();
  }

  #leave(channel: string, listeners: Set<Heard>, heard: Heard): void {
    if (!listeners.delete(heard) || listeners.size > 0) return;
    this.#listeners.delete(channel);
    if (this.#subscriber?.status === "ready") void this.#subscriber.unsubscribe(channel).catch(() => {});
  }

  /** While there is no connection nothing is asked for: all of it is when it is there. */
  #subscribe(channel: string): void {
    this.#subscriber ??= this.#connect();
    if (this.#subscriber.status === "ready") void this.#subscriber.subscribe(channel).catch(() => {});
  }

  #connect(): Redis {
    const subscriber = this.#redis.duplicate({ lazyConnect: false, autoResubscribe: false });
    // An outage is reported by the connection that commands go through.
    subscriber.on("error", () => {});
    subscriber.on("ready", () => {
      for (const channel of this.#listeners.keys()) this.#subscribe(channel);
    });
    subscriber.on("message", (channel: string, message: string) => {
      for (const heard of this.#listeners.get(channel) ?? []) heard(message);
    });
    return subscriber;
  }
}
