import {
  type Call,
  CapstanError,
  isCapstanError,
  type MemoryPlugin,
  type MemoryStore,
  type Session,
} from "../../contracts/index.ts";
import type { MemorySettings } from "../../settings/server.ts";
import { parseOptions } from "../options.ts";
import { loadPlugin } from "../plugins.ts";
import { KeyedQueue } from "./queue.ts";
import { SessionLocks } from "./session-locks.ts";
import { beginsTurns, type SessionTurn, turnAtOnce, turnUnder } from "./session-turn.ts";
import { storeHost } from "./store-host.ts";

/** The options of a memory's store: its settings without what the host reads itself. */
export function storeOptions({ store: _, window: __, on_error: ___, ...options }: MemorySettings) {
  return options;
}

/** One store for all the models that remember in it, and for all their generations. */
export class SharedStore implements AsyncDisposable {
  readonly #name: string;
  readonly #settings: MemorySettings;
  readonly #folder: string;
  readonly #locks: SessionLocks;
  readonly #turns = new KeyedQueue();
  #opening: Promise<MemoryStore> | undefined;

  /**
   * @param name for messages.
   * @param folder where a store's own file, or its package, is looked for.
   * @param locks for a store that has none. They are disposed after it.
   */
  constructor(name: string, settings: MemorySettings, folder: string, locks = new SessionLocks(null)) {
    this.#name = name;
    this.#settings = settings;
    this.#folder = folder;
    this.#locks = locks;
  }

  /** @throws CapstanError LOAD_FAILED when there is no such store, or its options are wrong. */
  async plugin(place: string): Promise<{ plugin: MemoryPlugin; options: unknown }> {
    const plugin = await loadPlugin("memory", this.#settings.store, this.#folder);
    return { plugin, options: parseOptions(plugin.options, storeOptions(this.#settings), place) };
  }

  /** Opens it without waiting: what a crash left behind is taken up. Whoever uses it hears what is wrong. */
  warm(): void {
    this.#open().catch(() => {});
  }

  /**
   * Does something with the store.
   * @throws CapstanError naming the memory; the call's reason when it aborts.
   */
  async use<T>(work: (store: MemoryStore) => Promise<T>, { signal }: Call): Promise<T> {
    signal.throwIfAborted();
    try {
      return await work(await this.#open());
    } catch (error) {
      throw signal.aborted ? signal.reason : this.#fault(error);
    }
  }

  /**
   * Waits for the turns of a session that came before; those of other replicas, too, where there is a lock.
   * @param last how many of the newest turns will be asked for; undefined for all.
   */
  async begin(session: Session, last: number | undefined, call: Call): Promise<SessionTurn> {
    await using held = await this.#enter(session, call);
    const steps = await this.use(async (store) => {
      if (beginsTurns(store)) return turnAtOnce(store, session, last, held, call);
      return turnUnder(await this.#lock(store, session, held, call), store, session);
    }, call);
    const kept = held.move();
    return {
      read: (wanted, inner) => this.use(() => steps.read(wanted, inner), inner),
      end: (turns, inner) => this.use(() => steps.end(turns, inner), inner),
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  }

  /** Forgets a session, when the turn that is under way is over. */
  async clear(session: Session, call: Call): Promise<void> {
    await using held = await this.#enter(session, call);
    await this.use(async (store) => {
      await this.#lock(store, session, held, call);
      await store.clear(session, call);
    }, call);
  }

  async #enter({ owner, id }: Session, { signal }: Call): Promise<AsyncDisposableStack> {
    const held = new AsyncDisposableStack();
    held.use(await this.#turns.enter(JSON.stringify([owner, id]), signal));
    return held;
  }

  /** The store's own lock, else the one in the server's Redis; only that has something to confirm. */
  async #lock(store: MemoryStore, session: Session, held: AsyncDisposableStack, call: Call) {
    if (store.lock === undefined) return this.#lockElsewhere(store, session, held, call);
    held.use(await store.lock(session, call));
    return undefined;
  }

  async #lockElsewhere(store: MemoryStore, session: Session, held: AsyncDisposableStack, call: Call) {
    if (store.settled === undefined) return undefined;
    const lock = await this.#locks.take(session, call);
    if (lock !== undefined) held.defer(() => this.#locks.release(lock, store, session, call));
    return lock;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const store = await this.#opening?.catch(() => undefined);
    await store?.[Symbol.asyncDispose]();
  }

  /** Tried again at the next use when it fails. */
  #open(): Promise<MemoryStore> {
    this.#opening ??= this.#opened().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #opened(): Promise<MemoryStore> {
    const { plugin, options } = await this.plugin(this.#name);
    return plugin.open(options, storeHost);
  }

  #fault(error: unknown): CapstanError {
    const message = error instanceof Error ? error.message : String(error);
    const code = isCapstanError(error) ? error.code : "UPSTREAM";
    if (code === "INVALID_ARGUMENT") return error as CapstanError;
    return new CapstanError(code, `${this.#name} cannot be used: ${message}`, { cause: error });
  }
}
