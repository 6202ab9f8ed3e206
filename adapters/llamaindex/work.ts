import { AsyncLocalStorage } from "node:async_hooks";
import type { Call, FinishReason, Part, Sampling } from "../../src/contracts/index.ts";

/**
 * What an application does for one request: its calls of models, which LlamaIndex neither tells about an abort nor
 * closes. Disposing it stops those that are still under way.
 */
export class Work implements AsyncDisposable {
  readonly call: Call;
  /** For the models it calls. A stop sequence ends the answer, and not what leads to it. */
  readonly sampling: Sampling;
  /** Of all calls together. */
  inputTokens = 0;
  outputTokens = 0;
  /** How the last call ended. */
  reason: FinishReason = "stop";
  /** Of the last call. */
  failure: unknown;
  /** Rejects when the caller's signal aborts, and with {@link detached} work also when a model fails. */
  readonly stopped: Promise<never>;
  /**
   * Its steps run by themselves, as those of a workflow do: an error in one would be thrown into the void, and nothing
   * would ever end. So a call that fails is left standing, and the fault is raised here.
   */
  detached = false;
  readonly #controller = new AbortController();
  readonly #open = new Set<AsyncIterator<Part>>();
  readonly #stop: (reason: unknown) => void;
  readonly #unlisten: () => void;

  constructor(call: Call, { stop: _, ...sampling }: Sampling = {}) {
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {});
    [this.stopped, this.#stop] = [promise, reject];
    const abort = () => {
      reject(call.signal.reason);
      this.#controller.abort(call.signal.reason);
    };
    if (call.signal.aborted) abort();
    else call.signal.addEventListener("abort", abort, { once: true });
    this.#unlisten = () => call.signal.removeEventListener("abort", abort);
    const { record: _record, ...inner } = call;
    this.call = { ...inner, signal: this.#controller.signal };
    this.sampling = sampling;
  }

  /** The parts that a model gives; they are counted, and the model's stream is closed with the work. */
  async *follow(start: () => AsyncIterable<Part>): AsyncGenerator<Part> {
    let iterator: AsyncIterator<Part> | undefined;
    try {
      iterator = start()[Symbol.asyncIterator]();
      this.#open.add(iterator);
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        this.#count(next.value);
        yield next.value;
      }
    } catch (error) {
      await this.#failed(error);
    } finally {
      if (iterator !== undefined && this.#open.delete(iterator)) await iterator.return?.();
    }
  }

  /** A promise that is followed in the same way. */
  async result<T>(work: Promise<T>): Promise<T> {
    return work.catch((error) => this.#failed(error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unlisten();
    this.#controller.abort(new DOMException("The application's answer is over", "AbortError"));
    const open = [...this.#open];
    this.#open.clear();
    await Promise.all(open.map(async (iterator) => iterator.return?.().catch(() => {})));
  }

  #failed(error: unknown): Promise<never> {
    this.failure = error;
    if (!this.detached) throw error;
    this.#stop(error);
    return new Promise(() => {});
  }

  #count(part: Part): void {
    if (part.type !== "finish") return;
    this.inputTokens += part.usage.inputTokens;
    this.outputTokens += part.usage.outputTokens;
    this.reason = part.reason === "length" ? "length" : "stop";
    this.failure = undefined;
  }
}

/** Which request a model is called for: LlamaIndex has no parameter for it. One for each application. */
export class CurrentWork {
  readonly #storage = new AsyncLocalStorage<Work>();
  /** For what an application does outside of any request. */
  readonly #background: Work;

  constructor(background: Work) {
    this.#background = background;
  }

  get(): Work {
    return this.#storage.getStore() ?? this.#background;
  }

  run<T>(work: Work, task: () => T): T {
    return this.#storage.run(work, task);
  }
}
