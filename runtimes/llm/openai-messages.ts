import { z } from "zod";
import { invalid, type Message, type ToolCall } from "../../src/contracts/index.ts";

const ROLES = ["system", "developer", "user", "assistant", "tool"] as const;

const toolCall = z
  .object({ id: z.string(), function: z.object({ name: z.string(), arguments: z.string() }) })
  .transform(({ id, function: { name, arguments: text } }): ToolCall => ({ id, name, arguments: text }));

const part = z
  .looseObject({ type: z.string() })
  .refine(({ type, text }) => type !== "text" || typeof text === "string", "must have its text in 'text'");

/** A message of OpenAI's chat API. Its newer name of the system's role is read as the old one. */
const message = z
  .object({
    role: z.enum(ROLES, `must be one of ${ROLES.join(", ")}`),
    content: z.union([z.string(), z.array(part)], "must be a text or a list of parts").nullish(),
    name: z.string().optional(),
    tool_calls: z.array(toolCall).nullish(),
    tool_call_id: z.string().nullish(),
  })
  .transform(
    ({ role, content, name, tool_calls, tool_call_id }): Message => ({
      role: role === "developer" ? "system" : role,
      content: content ?? "",
      ...(name === undefined ? {} : { name }),
      ...(tool_calls == null ? {} : { toolCalls: tool_calls }),
      ...(tool_call_id == null ? {} : { toolCallId: tool_call_id }),
    }),
  );

const conversation = z.array(message).min(1, "must have at least one message");

/**
 * One conversation: the JSON text of a list of OpenAI messages.
 * @param where names the text in messages of errors.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readMessages(text: string, where: string): Message[] {
  const result = conversation.safeParse(parse(text, where));
  if (result.success) return result.data;
  const { path, message: fault } = result.error.issues[0]!;
  const field = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  throw invalid(`${where}: ${field || "the JSON"}: ${fault.replace(/^Invalid input: /, "")}`, {
    param: "messages",
  });
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`${where} is not JSON: ${(cause as Error).message}`, { cause, param: "messages" });
  }
}
