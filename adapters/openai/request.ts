import {
  type ChatRequest,
  invalid,
  type Message,
  type Sampling,
  type ToolCall,
} from "../../src/contracts/index.ts";
import { recordOf } from "./json.ts";
import type { OpenaiOptions } from "./options.ts";

export interface UpstreamRequest {
  readonly route: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * The upstream's form of a request: `chat/completions` for messages, `completions` for a prompt. Fields that
 * have no name here are the caller's own, and go as they are.
 * @param model the upstream's name of the model.
 */
export function upstreamRequest(
  request: ChatRequest,
  model: string,
  stream: boolean,
  options: OpenaiOptions,
): UpstreamRequest {
  const chat = request.messages !== undefined;
  if (!chat && request.prompt === undefined) {
    throw invalid("A request needs messages or a prompt", { param: "messages" });
  }
  const { stream_options: streamOptions, ...extra } = request.extra ?? {};
  const body = {
    ...extra,
    ...defined({
      model,
      messages: request.messages?.map(upstreamMessage),
      prompt: chat ? undefined : request.prompt,
      ...samplingFields(request.sampling, chat ? options.max_tokens_field : "max_tokens"),
      n: request.n,
      tools: request.tools,
      tool_choice: request.toolChoice,
      response_format: request.responseFormat,
    }),
    stream,
    ...(stream ? usageField(streamOptions, options) : {}),
  };
  return { route: chat ? "chat/completions" : "completions", body };
}

function usageField(given: unknown, { stream_usage }: OpenaiOptions): Record<string, unknown> {
  if (stream_usage) return { stream_options: { ...recordOf(given), include_usage: true } };
  return given === undefined ? {} : { stream_options: given };
}

function samplingFields(sampling: Sampling, maxTokensField: string): Record<string, unknown> {
  return {
    [maxTokensField]: sampling.maxTokens,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    seed: sampling.seed,
    stop: sampling.stop?.length === 0 ? undefined : sampling.stop,
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    // vLLM reads the first, llama.cpp the second.
    repetition_penalty: sampling.repeatPenalty,
    repeat_penalty: sampling.repeatPenalty,
  };
}

function upstreamMessage(message: Message): Record<string, unknown> {
  const { role, content, name, toolCalls, toolCallId } = message;
  const calls = toolCalls === undefined || toolCalls.length === 0 ? undefined : toolCalls.map(upstreamCall);
  return {
    role,
    content: calls !== undefined && content.length === 0 ? null : content,
    ...defined({ name, tool_calls: calls, tool_call_id: toolCallId }),
  };
}

function upstreamCall({ id, name, arguments: text }: ToolCall): Record<string, unknown> {
  return { id, type: "function", function: { name, arguments: text } };
}

function defined(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const name in fields) if (fields[name] !== undefined) result[name] = fields[name];
  return result;
}
