import { z } from "zod";
import type { ChatRequest, Message } from "../../../contracts/index.ts";
import {
  count,
  decimal,
  extraOf,
  optional,
  samplingFields,
  samplingOf,
  text,
  truth,
} from "../../sampling.ts";
import { commonFields, metadataOf } from "../chat-request.ts";
import { formatOf, inputSchema, isFunctionTool, messagesOf, toolChoiceOf, toolOf } from "./input.ts";

/** The body of a request for a response; fields that are not named here go on to the model. */
export const responseSchema = z.looseObject({
  model: optional(text().min(1, "must not be empty")),
  input: inputSchema,
  instructions: optional(text()),
  previous_response_id: optional(text()),
  conversation: commonFields.conversation,
  metadata: commonFields.metadata,
  max_output_tokens: optional(count()),
  temperature: optional(decimal()),
  top_p: optional(decimal()),
  tools: optional(z.array(z.unknown(), "must be a list")),
  tool_choice: optional(z.unknown()),
  parallel_tool_calls: optional(truth()),
  text: optional(z.looseObject({ format: optional(z.looseObject({ type: text() })) })),
  reasoning: optional(z.looseObject({ effort: optional(text()) })),
  store: optional(truth()),
  background: optional(truth()),
  stream: optional(truth()),
  truncation: optional(text()),
  include: optional(z.array(z.unknown())),
  stream_options: optional(z.unknown()),
});
export type ResponseBody = z.output<typeof responseSchema>;

const wantsLogprobs = ({ include = [] }: ResponseBody) => include.includes("message.output_text.logprobs");

const OWN = [...Object.keys(responseSchema.shape), "n"];
const sampling = z.object(samplingFields);

/** Tools such as web search run at OpenAI; only an upstream that has them can answer such a request. */
export const wantsForeignTools = ({ tools = [] }: ResponseBody): boolean => !tools.every(isFunctionTool);

/** @param history what was said before, when the body goes on from another response. */
export function chatRequestOf(
  body: ResponseBody,
  history: readonly Message[],
  session: string | undefined,
): ChatRequest {
  const { instructions, tools, tool_choice, reasoning, parallel_tool_calls } = body;
  const system: Message[] = instructions === undefined ? [] : [{ role: "system", content: instructions }];
  return {
    messages: [...system, ...history, ...messagesOf(body.input)],
    sampling: samplingOf(sampling.parse(body), body.max_output_tokens),
    tools: tools?.map(toolOf),
    toolChoice: toolChoiceOf(tool_choice),
    responseFormat: formatOf(body.text?.format),
    session,
    extra: {
      ...extraOf(body, OWN),
      ...metadataOf(body),
      ...(wantsLogprobs(body) ? { logprobs: true } : {}),
      ...(reasoning?.effort === undefined ? {} : { reasoning_effort: reasoning.effort }),
      ...(parallel_tool_calls === undefined ? {} : { parallel_tool_calls }),
    },
  };
}
