import { z } from "zod";
import type { ContentPart, Message, ToolCall } from "../../contracts/index.ts";
import { optional, text } from "../sampling.ts";

/** Parts that are not text go to the model untouched: what they may hold is its affair. */
const part = z
  .looseObject({ type: text() })
  .refine(
    (each) => each.type !== "text" || typeof each.text === "string",
    "must have a string 'text' when its type is 'text'",
  );

const toolCall = z.object({
  id: text(),
  type: z.literal("function", "must be 'function'").optional(),
  function: z.object({ name: text(), arguments: text() }),
});

const ROLES = ["system", "developer", "user", "assistant", "tool"] as const;

/** A message of a chat completion request. */
export const messageSchema = z
  .object({
    role: z.enum(ROLES, `must be one of ${ROLES.join(", ")}`),
    content: optional(z.union([z.string(), z.array(part)], "must be a string or a list of parts")),
    name: optional(text()),
    tool_calls: optional(z.array(toolCall)),
    tool_call_id: optional(text()),
  })
  .refine((message) => message.content !== undefined || message.role === "assistant", {
    path: ["content"],
    message: "is missing",
  });

type MessageBody = z.output<typeof messageSchema>;

/** `developer` is OpenAI's newer name of `system`. */
export function messageOf({ role, content = "", name, tool_calls, tool_call_id }: MessageBody): Message {
  return {
    role: role === "developer" ? "system" : role,
    content: content as string | ContentPart[],
    ...(name === undefined ? {} : { name }),
    ...(tool_calls === undefined ? {} : { toolCalls: tool_calls.map(toolCallOf) }),
    ...(tool_call_id === undefined ? {} : { toolCallId: tool_call_id }),
  };
}

function toolCallOf({ id, function: { name, arguments: text } }: z.output<typeof toolCall>): ToolCall {
  return { id, name, arguments: text };
}

/** A call as OpenAI writes it in a message. */
export function toolCallBody({ id, name, arguments: text }: ToolCall) {
  return { id, type: "function", function: { name, arguments: text } };
}
