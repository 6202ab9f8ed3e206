import type { BaseTool, ChatMessage, LLMChatParamsBase, MessageContent } from "llamaindex";
import {
  CapstanError,
  type ChatRequest,
  type Completion,
  type ContentPart,
  invalid,
  type Message,
  type Part,
  refuseUnsupported,
  type Sampling,
  type ToolCall,
} from "../../src/contracts/index.ts";

/** What LlamaIndex keeps in a message's options. */
interface ToolOptions {
  readonly toolCall?: readonly { readonly id: string; readonly name: string; readonly input: unknown }[];
  readonly toolResult?: { readonly id: string; readonly isError?: boolean };
}

/** A request as an application takes it. */
export interface Question {
  /** What the user said last. */
  readonly content: MessageContent;
  readonly text: string;
  readonly history: ChatMessage[];
}

/** @throws CapstanError INVALID_ARGUMENT for what an application cannot do. */
export function questionOf(request: ChatRequest): Question {
  const { n = 1, tools = [], prompt } = request;
  if (n > 1) throw invalid(`'n' is ${n}, and an application gives one answer`, { param: "n" });
  if (tools.length > 0)
    throw new CapstanError("UNSUPPORTED", "An application has its own tools and takes no others", {
      param: "tools",
    });
  refuseUnsupported(request, "llamaindex");
  const messages =
    prompt === undefined ? (request.messages ?? []) : [{ role: "user" as const, content: prompt }];
  const last = messages.at(-1);
  if (last?.role !== "user") {
    throw invalid("The last message must be the user's: it is what the application answers", {
      param: "messages",
    });
  }
  return {
    content: toLlamaIndex(last).content,
    text: textOf(last.content),
    history: messages.slice(0, -1).map(toLlamaIndex),
  };
}

function toLlamaIndex({ role, content, toolCalls, toolCallId }: Message): ChatMessage {
  const text = typeof content === "string" ? content : (content as unknown as MessageContent);
  if (role === "tool") {
    const toolResult = { id: toolCallId ?? "", result: textOf(content), isError: false };
    return { role: "user", content: text, options: { toolResult } };
  }
  if (toolCalls === undefined) return { role, content: text };
  const toolCall = toolCalls.map(({ id, name, arguments: input }) => ({ id, name, input }));
  return { role, content: text, options: { toolCall } };
}

/** What LlamaIndex asks of a model, as models take it. */
export function modelRequest({ messages, tools = [] }: LLMChatParamsBase, sampling: Sampling): ChatRequest {
  const definitions = tools.length === 0 ? {} : { tools: tools.map(definitionOf) };
  return { messages: systemFirst(messages.map(fromLlamaIndex)), sampling, ...definitions };
}

/** A chat engine puts what it found after the question; templates of models want instructions first. */
function systemFirst(messages: readonly Message[]): Message[] {
  return [
    ...messages.filter(({ role }) => role === "system"),
    ...messages.filter(({ role }) => role !== "system"),
  ];
}

/** As OpenAI defines tools. */
function definitionOf({ metadata: { name, description, parameters } }: BaseTool) {
  return { type: "function", function: { name, description, parameters } };
}

function fromLlamaIndex({ role, content, options = {} }: ChatMessage): Message {
  const { toolCall, toolResult } = options as ToolOptions;
  const parts = typeof content === "string" ? content : (content as unknown as readonly ContentPart[]);
  if (toolResult !== undefined) return { role: "tool", content: parts, toolCallId: toolResult.id };
  if (toolCall !== undefined)
    return { role: "assistant", content: parts, toolCalls: toolCall.map(calledTool) };
  return { role: role === "user" || role === "assistant" ? role : "system", content: plain(parts) };
}

/** LlamaIndex writes text as a list of one part; small models' templates want it plain. */
function plain(content: Message["content"]): Message["content"] {
  if (typeof content === "string" || content.some(({ type }) => type !== "text")) return content;
  return textOf(content);
}

function calledTool({ id, name, input }: { id: string; name: string; input: unknown }): ToolCall {
  return { id, name, arguments: typeof input === "string" ? input : JSON.stringify(input) };
}

export function textOf(content: Message["content"]): string {
  if (typeof content === "string") return content;
  return content.map((part) => (typeof part.text === "string" ? part.text : "")).join("");
}

/** A piece of an answer, as LlamaIndex streams it; undefined for what it has no place for. */
export function chunkOf(part: Part) {
  if (part.type === "text") return { delta: part.text, raw: part };
  if (part.type !== "tool-call") return undefined;
  return { delta: "", raw: part, options: { toolCall: [toolInput(part.call)] } };
}

/** A whole answer in LlamaIndex's form. */
export function responseOf(completion: Completion) {
  const { text, toolCalls } = completion.choices[0]!;
  const options = toolCalls.length === 0 ? {} : { options: { toolCall: toolCalls.map(toolInput) } };
  return { message: { role: "assistant" as const, content: text, ...options }, raw: completion };
}

/** Its input stays as the model wrote it: LlamaIndex tells the model when that is not JSON. */
const toolInput = ({ id, name, arguments: input }: ToolCall) => ({ id, name, input });
