import { Change } from "./change.ts";
import type { RedisChannels } from "./redis-channels.ts";
import { channelOf } from "./redis-keys.ts";

/** Hears of new events. */
export class RedisAnnouncements {
  readonly #channels: RedisChannels;

  constructor(channels: RedisChannels) {
    this.#channels = channels;
  }

  /** What happens whenever a stream has a new event. Without Redis it does not: readers look by themselves, too. */
  listen(id: string): { readonly change: Change } & Disposable {
    const change = new Change();
    const listening = this.#channels.listen(channelOf(id), () => change.happened());
    return { change, [Symbol.dispose]: () => listening[Symbol.dispose]() };
  }
}
