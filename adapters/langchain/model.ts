import type { Call, CapLLM, ChatRequest, Message, Part, Usage } from "../../src/contracts/index.ts";
import type { Application } from "./application.ts";
import { GraphReader, STREAM_MODES } from "./graph.ts";
import { type InputForm, inputForm, inputOf, messagesOf } from "./input.ts";
import type { Library } from "./library.ts";
import { isObject, textOf, toLangChain } from "./messages.ts";
import type { LangChainOptions } from "./options.ts";
import { pull } from "./pull.ts";
import { RunnableReader } from "./runnable.ts";
import { Thread } from "./thread.ts";
import { callbacks } from "./told.ts";
import { type CurrentWork, Work } from "./work.ts";

export interface ModelParts {
  readonly application: Application;
  readonly library: Library;
  readonly options: LangChainOptions;
  readonly current: CurrentWork;
  /** What the application's code threw, as the caller is told. */
  readonly blame: (error: unknown) => unknown;
  readonly resources: AsyncDisposableStack;
}

/** A LangChain or LangGraph application as a language model. */
export class LangChainModel implements CapLLM {
  readonly #parts: ModelParts;
  readonly #form: InputForm;

  constructor(parts: ModelParts) {
    this.#parts = parts;
    this.#form = inputForm(parts.application, parts.options.input);
  }

  /** The usage is that of all model calls together; where none tells, it is estimated. */
  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    using work = new Work(call, request.sampling);
    const { application, options, library, current } = this.#parts;
    const thread = new Thread(application, request, call);
    const reader =
      application.graph === undefined
        ? new RunnableReader(library, application.runnable, options.output)
        : new GraphReader(work, readingOf(application, options), knownCalls(messagesOf(request)));
    try {
      const config = this.#config(request, work, thread.id);
      const asked = { ...request, messages: await thread.news(config), prompt: undefined };
      const input = inputOf(asked, application, this.#form, (messages) => toLangChain(library, messages));
      const start = () => withTools(application, request).stream(input, config);
      const enter = <T>(step: () => T) => current.run(work, step);
      for await (const item of pull(start, enter, call.signal))
        for (const part of reader.read(item)) yield part;
      yield* reader.end();
    } catch (error) {
      call.signal.throwIfAborted();
      throw this.#parts.blame(error);
    } finally {
      await thread.forget();
    }
    const usage = work.usage ?? estimate(messagesOf(request), reader.answer.pieces);
    yield { type: "finish", choice: 0, reason: reader.answer.calls ? "tool_calls" : work.reason, usage };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.resources.disposeAsync();
  }

  /** LangChain's own configuration of a request. */
  #config({ extra }: ChatRequest, work: Work, thread_id: string) {
    const { application, library, options } = this.#parts;
    const { configurable, recursion_limit } = options;
    const { configurable: asked } = (extra?.config ?? {}) as { configurable?: unknown };
    const given = isObject(asked) ? Object.entries(asked) : [];
    const own = Object.fromEntries(given.filter(([key]) => Object.hasOwn(configurable, key)));
    return {
      signal: work.call.signal,
      recursionLimit: recursion_limit,
      configurable: { ...configurable, ...own, thread_id },
      // A graph shows the messages of its models.
      ...(application.graph === undefined
        ? { callbacks: callbacks(library, work) }
        : { streamMode: [...STREAM_MODES] }),
    };
  }
}

/** Where `createAgent` puts what its `responseFormat` asks for; a graph without one has no such key. */
const STRUCTURED = "structuredResponse";

function readingOf({ graph }: Application, { nodes, output }: LangChainOptions) {
  const isStructured = graph !== undefined && STRUCTURED in graph.channels;
  return { nodes, output: output ?? (isStructured ? STRUCTURED : undefined) };
}

function withTools(application: Application, { tools = [], toolChoice }: ChatRequest): Application {
  if (tools.length === 0) return application;
  return application.bindTools!(tools, toolChoice === undefined ? {} : { tool_choice: toolChoice });
}

const knownCalls = (messages: readonly Message[]): string[] =>
  messages.flatMap(({ toolCalls = [], toolCallId }) => [
    ...toolCalls.map(({ id }) => id),
    ...(toolCallId === undefined ? [] : [`result ${toolCallId}`]),
  ]);

/** The rule of thumb for English: four bytes of text are a token. A piece of a stream is one too. */
function estimate(messages: readonly Message[], outputTokens: number): Usage {
  const bytes = messages.reduce((sum, { content }) => sum + Buffer.byteLength(textOf(content)), 0);
  return { inputTokens: Math.ceil(bytes / 4), outputTokens };
}
