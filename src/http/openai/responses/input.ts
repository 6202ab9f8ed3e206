import { z } from "zod";
import { type ContentPart, invalid, type Message } from "../../../contracts/index.ts";
import { text } from "../../sampling.ts";

const contentPart = z.looseObject({ type: text() });

const ROLES = ["system", "developer", "user", "assistant"] as const;

const message = z.looseObject({
  type: z.literal("message").optional(),
  role: z.enum(ROLES, `must be one of ${ROLES.join(", ")}`),
  content: z.union([z.string(), z.array(contentPart)], "must be a string or a list of parts"),
});

const functionCall = z.looseObject({
  type: z.literal("function_call"),
  call_id: text(),
  name: text(),
  arguments: text(),
});

const functionOutput = z.looseObject({
  type: z.literal("function_call_output"),
  call_id: text(),
  output: z.union([z.string(), z.array(contentPart)], "must be a string or a list of parts"),
});

/** What a model thought before is its own affair. */
const reasoning = z.looseObject({ type: z.literal("reasoning") });

const item = z.union(
  [message, functionCall, functionOutput, reasoning],
  "must be a message, a function_call, a function_call_output or a reasoning item",
);

/** `input` of a request for a response: a question, or items of a conversation. */
export const inputSchema = z.union(
  [z.string(), z.array(item).min(1, "must have at least one item")],
  "must be a string, or a list of messages, function_call, function_call_output and reasoning items",
);
export type Input = z.output<typeof inputSchema>;

/** The items as messages. Calls that follow each other, or a message of the model, are of one message. */
export function messagesOf(input: Input): Message[] {
  if (typeof input === "string") return [{ role: "user", content: input }];
  const messages: Message[] = [];
  for (const each of input) {
    if (each.type === "function_call") addCall(messages, functionCall.parse(each));
    else if (each.type === "function_call_output") messages.push(outputOf(functionOutput.parse(each)));
    else if (each.type !== "reasoning") messages.push(messageOf(message.parse(each)));
  }
  return messages;
}

function messageOf({ role, content }: z.output<typeof message>): Message {
  return {
    role: role === "developer" ? "system" : role,
    content: typeof content === "string" ? content : content.map(partOf),
  };
}

/** The parts of chat completions: there an image is an object, and every text a `text`. */
function partOf(part: z.output<typeof contentPart>): ContentPart {
  if (["input_text", "output_text", "refusal"].includes(part.type)) {
    return { type: "text", text: String(part.text ?? part.refusal ?? "") };
  }
  if (part.type !== "input_image") return part;
  if (typeof part.image_url !== "string")
    throw invalid("An input_image needs its 'image_url': files are not kept here", { param: "input" });
  return { type: "image_url", image_url: { url: part.image_url, detail: part.detail ?? "auto" } };
}

function addCall(messages: Message[], { call_id: id, name, arguments: text }: z.output<typeof functionCall>) {
  const last = messages.at(-1);
  const call = { id, name, arguments: text };
  if (last?.role !== "assistant") messages.push({ role: "assistant", content: "", toolCalls: [call] });
  else messages[messages.length - 1] = { ...last, toolCalls: [...(last.toolCalls ?? []), call] };
}

function outputOf({ call_id, output }: z.output<typeof functionOutput>): Message {
  const content = typeof output === "string" ? output : output.map(partOf);
  return { role: "tool", content, toolCallId: call_id };
}

const functionTool = z.looseObject({
  type: z.literal("function"),
  name: text().min(1, "must not be empty"),
});

/** Tools of chat completions have their fields one level deeper. */
export function toolOf(tool: unknown): unknown {
  const { type, ...definition } = functionTool.parse(tool);
  return { type, function: definition };
}

export const isFunctionTool = (tool: unknown): boolean => functionTool.safeParse(tool).success;

/** `{type, name}` names a tool; in a chat completion its name is one level deeper. */
export function toolChoiceOf(choice: unknown): unknown {
  if (typeof choice !== "object" || choice === null) return choice;
  const { type, name } = choice as { type?: unknown; name?: unknown };
  return type === "function" ? { type, function: { name } } : choice;
}

/** `text.format` of a response is `response_format` of a chat completion, whose schema is one level deeper. */
export function formatOf(format: Readonly<Record<string, unknown>> | undefined): unknown {
  if (format === undefined || format.type === "text") return undefined;
  if (format.type !== "json_schema") return format;
  const { type, ...json_schema } = format;
  return { type, json_schema };
}
