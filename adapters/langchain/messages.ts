import type { BaseMessage } from "@langchain/core/messages";
import type { ContentPart, Message, ToolCall } from "../../src/contracts/index.ts";
import type { Library } from "./library.ts";

/** A request's messages as LangChain's. Content parts are OpenAI's in both. */
export function toLangChain({ messages }: Library, given: readonly Message[]): BaseMessage[] {
  const { AIMessage, HumanMessage, SystemMessage, ToolMessage } = messages;
  return given.map(({ role, content, name, toolCalls = [], toolCallId = "" }) => {
    const fields = { content: content as string, ...(name === undefined ? {} : { name }) };
    if (role === "system") return new SystemMessage(fields);
    if (role === "user") return new HumanMessage(fields);
    if (role === "tool") return new ToolMessage({ ...fields, tool_call_id: toolCallId });
    return new AIMessage({ ...fields, ...calledTools(toolCalls) });
  });
}

function calledTools(calls: readonly ToolCall[]) {
  const read = calls.map((call) => ({ call, args: objectOf(call.arguments) }));
  return {
    tool_calls: read.flatMap(({ call: { id, name }, args }) =>
      args === undefined ? [] : [{ id, name, args }],
    ),
    invalid_tool_calls: read.flatMap(({ call, args }) => {
      if (args !== undefined) return [];
      return [{ id: call.id, name: call.name, args: call.arguments, error: "not a JSON object" }];
    }),
  };
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** LangChain's messages as a model takes them. */
export function fromLangChain(messages: readonly BaseMessage[]): Message[] {
  return messages.map((message) => {
    const { tool_calls = [], invalid_tool_calls = [], tool_call_id, name } = message as LooseMessage;
    const toolCalls = [...tool_calls, ...invalid_tool_calls].map(toolCallOf);
    return {
      role: roleOf(message),
      content: contentOf(message.content as Message["content"]),
      ...(name === undefined ? {} : { name }),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      ...(tool_call_id === undefined ? {} : { toolCallId: tool_call_id }),
    };
  });
}

/** The fields that are used of messages, whatever class they have. */
export interface LooseMessage {
  readonly id?: string;
  readonly name?: string;
  readonly content: unknown;
  readonly tool_calls?: readonly LooseCall[];
  readonly invalid_tool_calls?: readonly LooseCall[];
  readonly tool_call_id?: string;
  readonly status?: string;
  readonly additional_kwargs?: { readonly reasoning_content?: unknown };
  readonly usage_metadata?: unknown;
  readonly response_metadata?: { readonly finish_reason?: unknown; readonly model_provider?: unknown };
}

interface LooseCall {
  readonly id?: string;
  readonly name?: string;
  readonly args?: unknown;
}

export function toolCallOf({ id = "", name = "", args = {} }: LooseCall): ToolCall {
  return { id, name, arguments: typeof args === "string" ? args : JSON.stringify(args) };
}

/** `human`, `ai`, `tool` and so on; undefined for what is no message. */
export function kindOf(value: unknown): string | undefined {
  if (!isObject(value) || !("content" in value)) return undefined;
  const { getType, _getType = getType } = value as Record<"getType" | "_getType", unknown>;
  return typeof _getType === "function" ? String((_getType as () => unknown).call(value)) : undefined;
}

const ROLES: Readonly<Record<string, Message["role"]>> = { ai: "assistant", human: "user", tool: "tool" };

function roleOf(message: BaseMessage): Message["role"] {
  const kind = message.getType() as string;
  const { role } = message as { role?: string };
  if (kind === "generic" && (role === "user" || role === "assistant")) return role;
  return ROLES[kind] ?? "system";
}

/** Blocks that only other parts of a message tell, such as its tool calls. */
const TOLD_ELSEWHERE = [
  "tool_use",
  "tool_call",
  "tool_call_chunk",
  "input_json_delta",
  "thinking",
  "reasoning",
];

/** Text in one piece: templates of small models want it plain. */
function contentOf(content: Message["content"]): Message["content"] {
  if (typeof content === "string") return content;
  const parts = content.filter(({ type }) => !TOLD_ELSEWHERE.includes(type)).map(partOf);
  return parts.every(({ type }) => type === "text") ? textOf(parts) : parts;
}

/** LangChain's own image blocks as OpenAI's. */
function partOf(part: ContentPart): ContentPart {
  const { type, url, data, mimeType, mime_type = mimeType } = part as Record<string, unknown>;
  if (type !== "image") return part;
  const address =
    typeof url === "string" ? url : `data:${String(mime_type ?? "image/png")};base64,${String(data)}`;
  return { type: "image_url", image_url: { url: address } };
}

/** The text in a message's content. */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (typeof part?.text === "string" ? part.text : "")).join("");
}

/** What a model thought aloud. */
export function reasoningOf({ content, additional_kwargs }: LooseMessage): string {
  const reasoning = additional_kwargs?.reasoning_content;
  if (typeof reasoning === "string") return reasoning;
  if (!Array.isArray(content)) return "";
  return content.map(({ thinking, reasoning: block }) => String(thinking ?? block ?? "")).join("");
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
