import type { Redis } from "ioredis";

const CHANNEL = "capstan:keys";

/**
 * Tells the other replicas at once that keys or roles changed. A message that is lost does no harm: each of them asks the
 * database twice a second anyway.
 */
export class KeyNews implements Disposable {
  readonly #redis: Redis;
  readonly #listening: Redis;

  /**
   * @param listening a connection of its own: one that listens takes no other commands.
   * @param onNews is called for the news of every replica, this one as well.
   */
  constructor(redis: Redis, listening: Redis, onNews: () => void) {
    this.#redis = redis;
    this.#listening = listening;
    // An outage is reported by the connection that limits go through.
    listening.on("error", () => {});
    listening.on("message", onNews);
    // It subscribes anew after an outage; what was missed then is nobody's news any more, so all is asked again.
    listening.on("ready", onNews);
    listening.subscribe(CHANNEL).catch(() => {});
  }

  tell(): void {
    this.#redis.publish(CHANNEL, "").catch(() => {});
  }

  [Symbol.dispose](): void {
    this.#listening.disconnect();
  }
}
