import { foldParts } from "../../contracts/index.ts";
import type { Exchange } from "../exchange.ts";
import { checkFields, readJsonObject } from "../json-body.ts";
import { answerHeaders, chooseModel, sessionOf } from "../language-model.ts";
import { sendJson } from "../send.ts";
import { sendEvents } from "../sse.ts";
import { envelope } from "./answer.ts";
import { chatCompletion, chatEvents } from "./chat-answer.ts";
import { bodySession, chatRequestOf, chatSchema, wantsUsage, withMessages } from "./chat-request.ts";
import { openAIFailure } from "./failure.ts";

/** `POST /v1/chat/completions` of the OpenAI API. */
export async function chatCompletions(x: Exchange): Promise<void> {
  const body = checkFields(chatSchema, withMessages(await readJsonObject(x)));
  const withUsage = wantsUsage(body);
  const target = chooseModel(x, body.model);
  const request = chatRequestOf(body, sessionOf(x, { body: bodySession(body) }));
  const headers = answerHeaders(x, target);
  const call = body.stream ? x.call() : x.wholeCall();
  const parts = x.parts.plane.chat(target.name, target.version, request, call);
  const id = `chatcmpl-${x.requestId}`;
  if (body.stream) {
    const withSteps = body.stream_options?.include_steps === true;
    const base = envelope(id, "chat.completion.chunk", target.name);
    const events = chatEvents(parts, base, { withUsage, withSteps });
    return sendEvents(x, events, { headers, failure: openAIFailure(x) });
  }
  const completion = await foldParts(parts);
  const answer = chatCompletion(envelope(id, "chat.completion", target.name), completion);
  return sendJson(x, 200, answer, headers());
}
