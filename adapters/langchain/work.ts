import { AsyncLocalStorage } from "node:async_hooks";
import type { Call, FinishReason, Sampling, Usage } from "../../src/contracts/index.ts";

/** What an application does for one request. Disposing it ends what is still under way. */
export class Work implements Disposable {
  /** For the models it calls: it ends with the work, and LangChain may leave listeners on its signal. */
  readonly call: Call;
  /** For the models it calls. A stop sequence ends the answer, and not what leads to it. */
  readonly sampling: Sampling;
  /** How the last model call ended. */
  reason: FinishReason = "stop";
  /** Of all model calls together; undefined while none has told. */
  usage: Usage | undefined;
  readonly #controller = new AbortController();
  readonly #unlisten: () => void;

  constructor(call: Call, { stop: _, ...sampling }: Sampling = {}) {
    const abort = () => this.#controller.abort(call.signal.reason);
    if (call.signal.aborted) abort();
    else call.signal.addEventListener("abort", abort, { once: true });
    this.#unlisten = () => call.signal.removeEventListener("abort", abort);
    const { record: _record, ...inner } = call;
    this.call = { ...inner, signal: this.#controller.signal };
    this.sampling = sampling;
  }

  /** Notes how a model call ended, and what it took where that is known. */
  count(reason: FinishReason, usage?: Usage): void {
    this.reason = reason === "length" || reason === "content_filter" ? reason : "stop";
    if (usage === undefined) return;
    const { inputTokens = 0, outputTokens = 0 } = this.usage ?? {};
    this.usage = {
      inputTokens: inputTokens + usage.inputTokens,
      outputTokens: outputTokens + usage.outputTokens,
    };
  }

  [Symbol.dispose](): void {
    this.#unlisten();
    this.#controller.abort(new DOMException("The application's answer is over", "AbortError"));
  }
}

/** Which request a model is called for: LangChain's call options have no place for it. One for each application. */
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
