import type { Call, MemoryStore, Session, SessionLock } from "../../contracts/index.ts";
import { parseOptions } from "../options.ts";
import { loadPlugin } from "../plugins.ts";
import { storeHost } from "./store-host.ts";

const PLACE = "settings.json: redis_url";

/** Locks in the server's Redis, for stores that replicas share and that have no lock of their own. */
export class SessionLocks implements AsyncDisposable {
  readonly #url: string | null;
  readonly #stopped = new AbortController();
  readonly #releases = new Set<Promise<void>>();
  #opening: Promise<MemoryStore> | undefined;

  /** @param url null where there is no Redis: nobody else is waited for then. */
  constructor(url: string | null) {
    this.#url = url;
  }

  /** @throws CapstanError NOT_READY when Redis does not answer, and the signal's reason when it aborts. */
  async take(session: Session, call: Call): Promise<SessionLock | undefined> {
    if (this.#url === null) return undefined;
    this.#opening ??= open(this.#url);
    return (await this.#opening).lock!(session, call);
  }

  /** Gives a lock back as soon as others can read what was written under it; nobody waits for that. */
  release(lock: SessionLock, store: MemoryStore, session: Session, { log, requestId }: Call): void {
    const { signal } = this.#stopped;
    const settled = store.settled!(session, { log, requestId, signal }).catch(() => {});
    const released = settled.then(() => lock[Symbol.asyncDispose]());
    this.#releases.add(released);
    void released.finally(() => this.#releases.delete(released));
  }

  /** After the stores: what they could not write by then is not waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort(new DOMException("The server stops", "AbortError"));
    await Promise.all(this.#releases);
    const store = await this.#opening?.catch(() => undefined);
    await store?.[Symbol.asyncDispose]();
  }
}

async function open(url: string): Promise<MemoryStore> {
  const plugin = await loadPlugin("memory", "redis", ".");
  return plugin.open(parseOptions(plugin.options, { url, prefix: "capstan:turn:" }, PLACE), storeHost);
}
