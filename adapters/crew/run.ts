import type {
  Call,
  ChatRequest,
  FinishReason,
  Part,
  Sampling,
  ToolCall,
  Usage,
} from "../../src/contracts/index.ts";
import type { UsedModel } from "./models.ts";
import type { Outlet } from "./outlet.ts";
import { type Tool, ToolFault, useTool } from "./tool.ts";

/** What one call of a model gave. */
export interface Reply {
  readonly text: string;
  /** The text as it came, for an answer that is passed on late. */
  readonly pieces: readonly string[];
  readonly toolCalls: readonly ToolCall[];
  readonly reason: FinishReason;
}

/** Who does what, for the steps of a stream. */
export interface Doer {
  readonly task: string;
  readonly agent: string;
}

/** Gets the text of an answer while it is written. */
export type Listener = (text: string) => Promise<void> | void;

/** The answer to one request: what its agents say and use goes through here. */
export class Run {
  readonly call: Call;
  readonly #sampling: Sampling;
  readonly #outlet: Outlet;
  #inputTokens = 0;
  #outputTokens = 0;

  /** @param sampling of the models; a stop sequence ends the crew's answer and not what leads to it. */
  constructor(call: Call, { stop: _, ...sampling }: Sampling, outlet: Outlet) {
    this.call = call;
    this.#sampling = sampling;
    this.#outlet = outlet;
  }

  /** Of all model calls together. */
  get usage(): Usage {
    return { inputTokens: this.#inputTokens, outputTokens: this.#outputTokens };
  }

  step(doer: Doer, kind: string, detail: object = {}): Promise<void> {
    return this.#put({ type: "step", choice: 0, name: "crew_step", detail: { ...doer, kind, ...detail } });
  }

  text(text: string): Promise<void> {
    return text === "" ? Promise.resolve() : this.#put({ type: "text", choice: 0, text });
  }

  /** Calls a model. `listen` hears its text as it comes. */
  async ask(
    llm: UsedModel,
    request: Omit<ChatRequest, "sampling">,
    stop: readonly string[] = [],
    listen?: Listener,
  ): Promise<Reply> {
    this.call.signal.throwIfAborted();
    const pieces: string[] = [];
    const toolCalls: ToolCall[] = [];
    let reason: FinishReason = "stop";
    const sampling = { ...this.#sampling, ...(stop.length === 0 ? {} : { stop }) };
    for await (const part of llm.chat({ ...request, sampling }, this.call)) {
      if (part.type === "text") {
        pieces.push(part.text);
        await listen?.(part.text);
        this.call.signal.throwIfAborted();
      } else if (part.type === "tool-call") toolCalls.push(part.call);
      else if (part.type === "finish") {
        reason = part.reason;
        this.#count(part.usage);
      }
    }
    return { text: pieces.join(""), pieces, toolCalls, reason: reason === "length" ? "length" : "stop" };
  }

  /** What a tool gave, or what the model did wrong: either is told to the model. */
  async useTool(doer: Doer, tools: readonly Tool[], name: string, input: string): Promise<string> {
    await this.step(doer, "tool", { tool: name, input });
    try {
      const output = await useTool(tools, name, input, this.call);
      await this.step(doer, "tool_result", { tool: name, output });
      return output;
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      await this.step(doer, "tool_result", { tool: name, error: error.message });
      return `Error: ${error.message}`;
    }
  }

  async #put(part: Part): Promise<void> {
    await this.#outlet.put(part);
    this.call.signal.throwIfAborted();
  }

  #count({ inputTokens, outputTokens }: Usage): void {
    this.#inputTokens += inputTokens;
    this.#outputTokens += outputTokens;
  }
}
