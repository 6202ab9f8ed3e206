import {
  type Call,
  type CapLLM,
  CapstanError,
  type InferRequest,
  type InferResponse,
  isCapstanError,
  type Runtime,
  type TensorSpec,
  type UserCode,
} from "../../src/contracts/index.ts";
import { toResponse } from "./answers.ts";
import type { UserModel } from "./user-model.ts";

/** The user's model, or the runtime that the user's plugin loaded. */
export type Inner = UserModel & Pick<Runtime, "platform" | "llm">;

/**
 * A model of the user's code as the host sees it: answers checked, faults of the code told from the caller's,
 * and an abort answered at once even where the code does not look at the signal.
 */
export class ModuleRuntime implements Runtime {
  readonly platform: string;
  readonly inputs: readonly TensorSpec[] | undefined;
  readonly outputs: readonly TensorSpec[] | undefined;
  readonly llm?: CapLLM;
  readonly inferStream?: NonNullable<Runtime["inferStream"]>;
  readonly #model: string;
  readonly #inner: Inner;
  readonly #code: UserCode;
  readonly #release: () => Promise<void>;
  readonly #running = new Set<Promise<unknown>>();
  #disposal: Promise<void> | undefined;

  /** @param release disposes the inner model and its code. */
  constructor(model: string, inner: Inner, code: UserCode, release: () => Promise<void>) {
    this.#model = model;
    this.#inner = inner;
    this.#code = code;
    this.#release = release;
    this.platform = inner.platform ?? "module";
    this.inputs = inner.inputs;
    this.outputs = inner.outputs;
    if (inner.llm !== undefined) this.llm = inner.llm;
    if (inner.inferStream !== undefined) this.inferStream = (request, call) => this.#stream(request, call);
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    this.#admit(call);
    return this.#track(
      this.#attempt(call, async () => this.#response(await this.#inner.infer(request, call))),
    );
  }

  ready(): boolean {
    return this.#inner.ready?.() ?? true;
  }

  async *#stream(request: InferRequest, call: Call): AsyncIterable<InferResponse> {
    this.#admit(call);
    const answers = await this.#attempt(call, () => iterate(this.#inner.inferStream!(request, call)));
    try {
      for (;;) {
        const next = await this.#track(this.#attempt(call, () => answers.next()));
        if (next.done) return;
        yield await this.#attempt(call, () => this.#response(next.value));
      }
    } finally {
      const ended = Promise.resolve(answers.return?.()).catch(() => {});
      // Code that ignores the signal may hang in its stream: an aborted caller does not wait for it.
      if (!call.signal.aborted) await ended;
    }
  }

  #response(answer: unknown): InferResponse {
    return toResponse(answer, this.outputs);
  }

  #admit(call: Call): void {
    call.signal.throwIfAborted();
    if (this.#disposal === undefined) return;
    throw new CapstanError("NOT_READY", `Model '${this.#model}' has been unloaded`);
  }

  async #attempt<T>(call: Call, work: () => T | Promise<T>): Promise<T> {
    call.signal.throwIfAborted();
    try {
      return await unlessAborted(async () => work(), call.signal);
    } catch (thrown) {
      if (isCapstanError(thrown)) throw thrown;
      if (call.signal.aborted) throw call.signal.reason;
      const { file, message } = this.#code.blame(thrown);
      const where = file === undefined ? "" : ` at ${file}`;
      throw new CapstanError("INTERNAL", `Model '${this.#model}' failed${where}: ${message}`, {
        cause: thrown,
      });
    }
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
    }
  }

  /** What is in flight, and still waited for by a caller, finishes first. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= Promise.allSettled(this.#running).then(this.#release);
    return this.#disposal;
  }
}

function iterate(
  answers: AsyncIterable<unknown> | Iterable<unknown>,
): AsyncIterator<unknown> | Iterator<unknown> {
  if (Symbol.asyncIterator in answers) return answers[Symbol.asyncIterator]();
  return answers[Symbol.iterator]();
}

/** Rejects with the reason as soon as the signal aborts; what the work gives later is dropped. */
function unlessAborted<T>(start: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const abort = () => reject(signal.reason);
  const settle = () => signal.removeEventListener("abort", abort);
  signal.addEventListener("abort", abort, { once: true });
  start().finally(settle).then(resolve, reject);
  return promise;
}
