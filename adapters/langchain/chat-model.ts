import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type { Embeddings } from "@langchain/core/embeddings";
import type {
  BaseChatModel,
  BaseChatModelCallOptions,
  BindToolsInput,
} from "@langchain/core/language_models/chat_models";
import type { BaseMessage } from "@langchain/core/messages";
import type { ChatGenerationChunk, ChatResult } from "@langchain/core/outputs";
import type { ChatRequest, Part, Sampling, UsedModel } from "../../src/contracts/index.ts";
import type { Library } from "./library.ts";
import { fromLangChain } from "./messages.ts";
import { OURS } from "./told.ts";
import type { CurrentWork } from "./work.ts";

/** Besides LangChain's own: sampling under the contract's names, which stands above the request's. */
interface CallOptions extends BaseChatModelCallOptions, Omit<Sampling, "stop"> {
  readonly tools?: readonly unknown[];
  readonly response_format?: unknown;
}

/** A model of the server as a LangChain chat model: it streams, binds tools, and counts tokens. */
export function chatModel(
  library: Library,
  used: UsedModel,
  current: CurrentWork,
): BaseChatModel<CallOptions> {
  class ChatCapstan extends library.chatModels.BaseChatModel<CallOptions> {
    _llmType(): string {
      return "capstan";
    }

    override bindTools(tools: BindToolsInput[], options: Partial<CallOptions> = {}) {
      const definitions = tools.map((tool) => library.tools.convertToOpenAITool(tool));
      return this.withConfig({ tools: definitions, ...options });
    }

    override async *_streamResponseChunks(
      messages: BaseMessage[],
      options: this["ParsedCallOptions"],
      run?: CallbackManagerForLLMRun,
    ): AsyncGenerator<ChatGenerationChunk> {
      const work = current.get();
      const { call, sampling } = work;
      const signal =
        options.signal === undefined ? call.signal : AbortSignal.any([call.signal, options.signal]);
      const parts = used.chat(chatRequest(messages, options, sampling), { ...call, signal });
      let calls = 0;
      for await (const part of parts) {
        const chunk = chunkOf(library, part, calls);
        if (chunk === undefined) continue;
        if (part.type === "tool-call") calls += 1;
        if (part.type === "finish") work.count(part.reason, part.usage);
        yield chunk;
        await run?.handleLLMNewToken(chunk.text, undefined, undefined, undefined, undefined, { chunk });
      }
    }

    override async _generate(
      messages: BaseMessage[],
      options: this["ParsedCallOptions"],
      run?: CallbackManagerForLLMRun,
    ): Promise<ChatResult> {
      let whole = new library.outputs.ChatGenerationChunk({ text: "", message: emptyChunk(library) });
      for await (const chunk of this._streamResponseChunks(messages, options, run))
        whole = whole.concat(chunk);
      return { generations: [whole] };
    }
  }
  return new ChatCapstan({});
}

/** An embedding model of the server as LangChain's. */
export function embeddingModel(library: Library, used: UsedModel, current: CurrentWork): Embeddings {
  class CapstanEmbeddings extends library.embeddings.Embeddings {
    override async embedDocuments(texts: string[]): Promise<number[][]> {
      const vectors = await used.embed(texts, current.get().call);
      return vectors.map((vector) => Array.from(vector));
    }
    override async embedQuery(text: string): Promise<number[]> {
      const [vector = []] = await this.embedDocuments([text]);
      return vector;
    }
  }
  return new CapstanEmbeddings({});
}

const SAMPLING = [
  ...["maxTokens", "temperature", "topP", "topK", "minP", "seed"],
  ...["frequencyPenalty", "presencePenalty", "repeatPenalty"],
] as readonly (keyof CallOptions & keyof Sampling)[];

function chatRequest(
  messages: readonly BaseMessage[],
  options: Partial<CallOptions>,
  sampling: Sampling,
): ChatRequest {
  const { tools = [], tool_choice, response_format, stop } = options;
  const own = SAMPLING.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]);
  return {
    messages: fromLangChain(messages),
    sampling: { ...sampling, ...Object.fromEntries(own), ...(stop === undefined ? {} : { stop }) },
    ...(tools.length === 0 ? {} : { tools }),
    ...(tool_choice === undefined || tools.length === 0 ? {} : { toolChoice: choiceOf(tool_choice) }),
    ...(response_format === undefined ? {} : { responseFormat: response_format }),
  };
}

/** LangChain says `any` for OpenAI's `required`, and may name a tool. */
function choiceOf(choice: unknown): unknown {
  if (typeof choice !== "string" || ["auto", "none", "required"].includes(choice)) return choice;
  return choice === "any" ? "required" : { type: "function", function: { name: choice } };
}

const emptyChunk = ({ messages }: Library) => new messages.AIMessageChunk({ content: "" });

/** Undefined for what a chat model has no place for, such as an application's steps. */
function chunkOf(library: Library, part: Part, index: number): ChatGenerationChunk | undefined {
  const { AIMessageChunk } = library.messages;
  const chunk = (fields: ConstructorParameters<typeof AIMessageChunk>[0], text = "") =>
    new library.outputs.ChatGenerationChunk({ text, message: new AIMessageChunk(fields) });
  if (part.type === "text") return chunk({ content: part.text }, part.text);
  if (part.type === "reasoning") {
    return chunk({ content: "", additional_kwargs: { reasoning_content: part.text } });
  }
  if (part.type === "tool-call") {
    const { id, name, arguments: args } = part.call;
    return chunk({ content: "", tool_call_chunks: [{ id, name, args, index, type: "tool_call_chunk" }] });
  }
  if (part.type !== "finish") return undefined;
  const { inputTokens, outputTokens } = part.usage;
  return chunk({
    content: "",
    response_metadata: { finish_reason: part.reason, model_provider: OURS },
    usage_metadata: {
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
    },
  });
}
