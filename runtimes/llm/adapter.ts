import type { Call, CapLLM } from "../../src/contracts/index.ts";

/** An adapter that will not be unloaded until the lease is disposed. */
export interface Lease extends Disposable {
  readonly llm: CapLLM;
}

export interface AdapterParts {
  readonly load: (call: Call) => Promise<CapLLM>;
  /** Milliseconds without use after which it is unloaded; absent: never. */
  readonly idleMs: number | undefined;
  /** Hears that the adapter was unloaded, with the fault when that failed. */
  readonly onUnload: (fault?: unknown) => void;
}

interface Loading {
  readonly llm: Promise<CapLLM>;
  readonly controller: AbortController;
  /** Once it is loaded. */
  loaded: CapLLM | undefined;
}

/**
 * The adapter of one model, loaded when it is first needed and unloaded when it is idle. Those who come while
 * it loads wait for the same load, which is given up when all of them have gone; those who come while it is
 * unloaded get a new one, loaded when the old one has let go of its memory.
 */
export class Adapter implements AsyncDisposable {
  readonly #parts: AdapterParts;
  #current: Loading | undefined;
  #unloading: Promise<void> = Promise.resolve();
  #users = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: AdapterParts) {
    this.#parts = parts;
  }

  /** @throws what the load throws; the next call tries again. */
  async acquire(call: Call): Promise<Lease> {
    call.signal.throwIfAborted();
    clearTimeout(this.#timer);
    this.#users += 1;
    try {
      this.#current ??= this.#start(call);
      const llm = this.#current.loaded ?? (await unlessAborted(this.#current.llm, call.signal));
      return { llm, [Symbol.dispose]: this.#releaseOnce() };
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    this.#unload();
    await this.#unloading;
  }

  /** The load belongs to all who wait for it, so it has neither the caller's signal nor its deadline. */
  #start({ requestId, log }: Call): Loading {
    const controller = new AbortController();
    const load = async () => {
      await this.#unloading;
      return this.#parts.load({ signal: controller.signal, requestId, log });
    };
    const loading: Loading = { llm: load(), controller, loaded: undefined };
    loading.llm.then(
      (llm) => {
        loading.loaded = llm;
      },
      () => {
        if (this.#current === loading) this.#current = undefined;
      },
    );
    return loading;
  }

  #releaseOnce(): () => void {
    let released = false;
    return () => {
      if (!released) this.#release();
      released = true;
    };
  }

  #release(): void {
    this.#users -= 1;
    if (this.#users > 0) return;
    if (this.#current && !this.#current.loaded) this.#unload();
    else if (this.#parts.idleMs !== undefined) this.#unloadAfter(this.#parts.idleMs);
  }

  #unloadAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#unload(), ms).unref();
  }

  /** Gives up a load that is under way; a load that ends well all the same is disposed then. */
  #unload(): void {
    const unloaded = this.#current;
    if (unloaded === undefined) return;
    this.#current = undefined;
    unloaded.controller.abort();
    this.#unloading = this.#dispose(unloaded);
  }

  async #dispose(unloaded: Loading): Promise<void> {
    const llm = await unloaded.llm.catch(() => undefined);
    if (llm === undefined) return;
    try {
      await llm[Symbol.asyncDispose]();
      this.#parts.onUnload();
    } catch (fault) {
      this.#parts.onUnload(fault);
    }
  }
}

/** Rejects with the reason as soon as the signal aborts; the work itself goes on for others. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  work.finally(() => signal.removeEventListener("abort", abort)).then(resolve, reject);
  return promise;
}
