import {
  type Call,
  type CapLLM,
  CapstanError,
  type ChatRequest,
  type Completion,
  type Part,
} from "../../src/contracts/index.ts";
import type { Adapter } from "./adapter.ts";
import { answer, checkCompletion, countUsage } from "./answer.ts";
import { checkRequest, type Limits } from "./check.ts";
import type { Workload } from "./workload.ts";

export interface ModelParts {
  readonly name: string;
  readonly framework: string;
  readonly adapter: Adapter;
  readonly workload: Workload;
  readonly limits: Limits;
}

/** A language model behind its adapter. It does not look whether it is being closed: its callers do. */
export class LanguageModel {
  readonly #parts: ModelParts;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  /** @throws CapstanError INVALID_ARGUMENT for a faulty request. */
  check(request: ChatRequest): ChatRequest {
    return checkRequest(request, this.#parts.limits);
  }

  /** @param request as {@link check} gives it. */
  async *parts(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const { adapter, workload } = this.#parts;
    using lease = await workload.run(() => adapter.acquire(call));
    yield* this.#answer(lease.llm, request, call);
  }

  /** The whole answer to a request as {@link check} gives it. */
  completion(request: ChatRequest, call: Call): Promise<Completion> {
    return this.use(async (llm) => {
      if (llm.predictText === undefined) throw this.lacks("answers only in pieces");
      return checkCompletion(await llm.predictText(request, call), request, this.#parts.framework);
    }, call);
  }

  /** Does something with the adapter; an abort ends it with the signal's reason, whatever the adapter throws. */
  async use<T>(work: (llm: CapLLM) => Promise<T>, call: Call): Promise<T> {
    using lease = await this.#parts.adapter.acquire(call);
    try {
      const result = await work(lease.llm);
      call.signal.throwIfAborted();
      return result;
    } catch (error) {
      throw call.signal.aborted ? call.signal.reason : error;
    }
  }

  /** The answer's body is in use until it was read to its end, or cancelled. */
  async passthrough(route: string, body: unknown, call: Call): Promise<Response> {
    const held = await this.#parts.adapter.acquire(call);
    try {
      const response = await this.use(async (llm) => {
        if (llm.passthrough === undefined) throw this.lacks(`has no upstream that serves ${route}`);
        return llm.passthrough(route, body, call);
      }, call);
      return withEnd(response, held[Symbol.dispose]);
    } catch (error) {
      held[Symbol.dispose]();
      throw error;
    }
  }

  /** The fault that a request needs what the adapter does not have. */
  lacks(what: string): CapstanError {
    const { name, framework } = this.#parts;
    return new CapstanError("UNSUPPORTED", `Model '${name}' (${framework}) ${what}`);
  }

  #answer(llm: CapLLM, request: ChatRequest, call: Call): AsyncGenerator<Part> {
    const { framework, workload } = this.#parts;
    const source = watched(llm.streamTokens(request, call), workload, call);
    return answer(source, {
      framework,
      request,
      goOn: () => workload.goOn(call),
      usage: (choice) => countUsage(choice, request, llm.tokenize?.bind(llm), call),
    });
  }
}

/** The same response; `done` is called when its body has been read, failed or was cancelled. */
function withEnd(response: Response, done: () => void): Response {
  if (response.body === null) {
    done();
    return response;
  }
  const body = response.body.pipeThrough(new TransformStream({ flush: done, cancel: done }));
  return new Response(body, response);
}

/** The same items; each step counts as work, and an abort shows as the signal's own reason. */
function watched<T>(items: AsyncIterable<T>, workload: Workload, { signal }: Call): AsyncIterable<T> {
  const step = (work: () => Promise<IteratorResult<T>>) =>
    workload.run(work).catch((error) => {
      throw signal.aborted ? signal.reason : error;
    });
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () => step(() => iterator.next()),
        return: () => step(async () => (await iterator.return?.()) ?? { done: true, value: undefined }),
      };
    },
  };
}
