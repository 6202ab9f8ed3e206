import { z } from "zod";
import { type ChatRequest, invalid } from "../../contracts/index.ts";
import type { JsonObject } from "../json-body.ts";
import { count, extraOf, optional, samplingFields, samplingOf, text, truth, whole } from "../sampling.ts";
import { messageOf, messageSchema } from "./messages.ts";

const streamFields = {
  model: optional(text().min(1, "must not be empty")),
  stream: optional(truth()),
  stream_options: optional(
    z.looseObject({
      include_usage: optional(truth()),
      /** Ours: what an application does on its way to the answer. */
      include_steps: optional(truth()),
    }),
  ),
};

/** Fields of both completion routes. */
export const commonFields = {
  ...samplingFields,
  ...streamFields,
  n: optional(whole()),
  max_tokens: optional(whole()),
  conversation: optional(
    z.union([z.string(), z.looseObject({ id: text() })], "must be a string or have an id"),
  ),
  metadata: optional(z.record(z.string(), z.unknown(), "must be an object")),
};

const common = z.object(commonFields);
export type CommonBody = z.output<typeof common>;

/** The body of a chat completion request; fields that are not named here are kept. */
export const chatSchema = z.looseObject({
  ...commonFields,
  messages: z.array(messageSchema, "must be a list of messages").min(1, "must have at least one message"),
  max_completion_tokens: optional(count()),
  tools: optional(z.array(z.unknown(), "must be a list")),
  tool_choice: optional(z.unknown()),
  response_format: optional(z.looseObject({ type: text() }, "must be an object with a type")),
});
export type ChatBody = z.output<typeof chatSchema>;

const OWN = Object.keys(chatSchema.shape);

/** @param session by which the answer becomes part of a conversation. */
export function chatRequestOf(body: ChatBody, session: string | undefined): ChatRequest {
  return {
    messages: body.messages.map(messageOf),
    sampling: samplingOf(body, body.max_completion_tokens ?? body.max_tokens),
    n: body.n,
    tools: body.tools,
    toolChoice: body.tool_choice,
    responseFormat: body.response_format,
    session,
    extra: { ...extraOf(body, OWN), ...metadataOf(body) },
  };
}

/** What an application's clients send as `input`, or `inputs`, in place of messages. */
export function withMessages(body: JsonObject): JsonObject {
  const { input, inputs = input } = body;
  if (body.messages !== undefined || inputs === undefined) return body;
  const content = typeof inputs === "string" ? inputs : JSON.stringify(inputs);
  return { ...body, messages: [{ role: "user", content }] };
}

/** What `metadata` says beside the session goes on to the model. */
export function metadataOf({ metadata = {} }: Pick<CommonBody, "metadata">): { metadata?: object } {
  const { session_id: _, ...rest } = metadata;
  return Object.keys(rest).length === 0 ? {} : { metadata: rest };
}

/** The session a body names. */
export function bodySession({
  conversation,
  metadata,
}: Pick<CommonBody, "conversation" | "metadata">): string | undefined {
  if (conversation !== undefined) return typeof conversation === "string" ? conversation : conversation.id;
  const id = metadata?.session_id;
  if (id === undefined || typeof id === "string") return id;
  throw invalid("'metadata.session_id': must be a string", { param: "metadata.session_id" });
}

/**
 * Whether the usage is to be sent at the end of a stream.
 * @throws CapstanError INVALID_ARGUMENT for options of a stream where none was asked for, as OpenAI does.
 */
export function wantsUsage({ stream, stream_options }: CommonBody): boolean {
  if (stream_options !== undefined && stream !== true) {
    throw invalid("'stream_options': is only allowed when 'stream' is true", { param: "stream_options" });
  }
  return stream_options?.include_usage === true;
}
