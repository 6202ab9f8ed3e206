import type { Call } from "./call.ts";
import type { Embeddings } from "./embeddings.ts";
import type { Host } from "./host.ts";
import type { OptionsSchema } from "./options.ts";
import type { ModelSpec } from "./runtime.ts";

/** A part of a message's content; parts that are not text go to the adapter untouched. */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: string; readonly [field: string]: unknown };

export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text, as the model wrote it. */
  readonly arguments: string;
}

export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly ContentPart[];
  readonly name?: string;
  readonly toolCalls?: readonly ToolCall[];
  /** On a `tool` message: the call it answers. */
  readonly toolCallId?: string;
}

/** Sampling: absent means the model's own default. */
export interface Sampling {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  /** 0 and -1 take all tokens into account: llama.cpp's way to say it, and vLLM's. */
  readonly topK?: number;
  readonly minP?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly frequencyPenalty?: number;
  readonly presencePenalty?: number;
  readonly repeatPenalty?: number;
}

export interface ChatRequest {
  /** History first. Exactly one of `messages` and `prompt` is given. */
  readonly messages?: readonly Message[];
  /** Text to be continued as it is, without a chat template. */
  readonly prompt?: string;
  readonly sampling: Sampling;
  /** How many choices; absent means one. */
  readonly n?: number;
  /** OpenAI tool definitions, passed on as given. */
  readonly tools?: readonly unknown[];
  readonly toolChoice?: unknown;
  readonly responseFormat?: unknown;
  readonly session?: string;
  /** Fields of the caller's body that have no name here; forwarded by adapters that have an upstream. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** Of one choice: with n > 1 every choice carries the whole input and its own output. */
export interface Usage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Of the input: how many needed no new work. */
  readonly cachedTokens?: number;
}

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "cancelled";

/**
 * What an answer is made of, in order. `choice` counts from 0. Each choice ends with exactly one `finish`,
 * its last part.
 */
export type Part =
  | { readonly type: "text"; readonly choice: number; readonly text: string; readonly logprobs?: unknown }
  | { readonly type: "reasoning"; readonly choice: number; readonly text: string }
  | { readonly type: "tool-call"; readonly choice: number; readonly call: ToolCall }
  | { readonly type: "step"; readonly choice: number; readonly name: string; readonly detail?: unknown }
  | {
      readonly type: "finish";
      readonly choice: number;
      readonly reason: FinishReason;
      readonly usage: Usage;
    };

export interface CompletionChoice {
  readonly text: string;
  /** What the model thought aloud. */
  readonly reasoning?: string;
  /** The log probabilities of all text parts as one object, in the form the adapter gave them. */
  readonly logprobs?: unknown;
  readonly toolCalls: readonly ToolCall[];
  readonly reason: FinishReason;
}

export interface Completion {
  readonly choices: readonly CompletionChoice[];
  readonly usage: Usage;
}

/** A value that an application takes by name, such as a placeholder of a crew. */
export interface ApplicationInput {
  readonly name: string;
  /** It has a default. */
  readonly optional?: boolean;
}

/** A language model, or an application built on one. It sees only messages: memory is the host's. */
export interface CapLLM extends AsyncDisposable {
  /** The named values that an application takes, as `extra.inputs` of a request or a JSON object as the last message. */
  readonly inputs?: readonly ApplicationInput[];
  /** Leaving the loop early, or aborting, stops the model; an abort throws `call.signal.reason`. */
  streamTokens(request: ChatRequest, call: Call): AsyncIterable<Part>;
  /** Absent: the host folds the stream. */
  predictText?(request: ChatRequest, call: Call): Promise<Completion>;
  /** One vector for each text. Tokens that it does not tell are counted by `tokenize` where there is one, else estimated. */
  embed?(texts: readonly string[], call: Call): Promise<Float32Array[] | Embeddings>;
  /** Number of tokens, or their ids, as the model counts them. */
  tokenize?(text: string, call: Call): Promise<readonly number[]>;
  /** A route of an upstream that has no contract of its own: images, audio. `body` goes as it is. */
  passthrough?(route: string, body: unknown, call: Call): Promise<Response>;
}

export interface AdapterPlugin<O = unknown> {
  readonly kind: "adapter";
  /** The name used as `framework`, equal to the file's name. */
  readonly name: string;
  readonly options: OptionsSchema<O>;
  readonly overridable?: readonly string[];
  /** Its work would hold up the event loop: it runs on a thread of its own unless the model's `isolation` says otherwise. */
  readonly isolation?: "thread";
  load(model: ModelSpec, options: O, host: Host, call: Call): Promise<CapLLM>;
}

export function defineAdapter<O>(plugin: Omit<AdapterPlugin<O>, "kind">): AdapterPlugin<O> {
  return { kind: "adapter", ...plugin };
}
