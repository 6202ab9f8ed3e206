import { z } from "zod";
import {
  CapstanError,
  type ChatRequest,
  CompletionFold,
  foldParts,
  invalid,
  type Part,
  type Usage,
} from "../contracts/index.ts";
import type { Target } from "../host/language-model.ts";
import type { Exchange } from "./exchange.ts";
import { metricsRoutes } from "./health.ts";
import { checkFields, readJsonObject } from "./json-body.ts";
import { answerHeaders, chooseModel, sessionOf } from "./language-model.ts";
import type { Route } from "./route.ts";
import { count, extraOf, optional, samplingFields, samplingOf, text, textFields, truth } from "./sampling.ts";
import { sendJson } from "./send.ts";
import { sendEvents, sseData } from "./sse.ts";

/** @param metrics path of the metrics; null turns them off, here too. */
export function textRoutes(metrics: string | null): Route[] {
  return [
    { method: "POST", path: "/v1/generate", handle: (x) => generate(x, false) },
    { method: "POST", path: "/v1/stream", handle: (x) => generate(x, true) },
    { method: "GET", path: "/v1/health", untraced: true, handle: health },
    { method: "GET", path: "/readyz", untraced: true, handle: health },
    ...metricsRoutes(metrics === null ? null : "/v1/metrics"),
  ];
}

export const textSchema = z.looseObject({
  ...samplingFields,
  model: optional(text().min(1, "must not be empty")),
  prompt: text(),
  max_new_tokens: optional(count()),
  /** Another name of it. */
  max_tokens: optional(count()),
  max_length: optional(count()),
  ...textFields,
  stream: optional(truth()),
  /** Streams only: what an application does on its way to the answer. */
  include_steps: optional(truth()),
});
type Body = z.output<typeof textSchema>;

const OWN = Object.keys(textSchema.shape);

/** Text in, text out: the prompt is continued as it is. */
async function generate(x: Exchange, streams: boolean): Promise<void> {
  const body = checkFields(textSchema, await readJsonObject(x));
  const target = chooseModel(x, body.model);
  const request = requestOf(body, await newTokens(x, target, body), sessionOf(x));
  const headers = answerHeaders(x, target);
  const inPieces = body.stream ?? streams;
  const call = inPieces ? x.call() : x.wholeCall();
  const parts = x.parts.plane.chat(target.name, target.version, request, call);
  if (inPieces) return sendEvents(x, events(parts, body.include_steps), { headers });
  const { choices, usage } = await foldParts(parts);
  const { text: output, reason, logprobs } = choices[0]!;
  const answer = {
    model: target.name,
    model_version: x.call().record.version ?? target.answering,
    output,
    generated_text: body.prompt + output,
    prompt: body.prompt,
    cached: x.call().record.cache === "hit",
    finish_reason: reason,
    usage: usageBody(usage),
    logprobs,
  };
  return sendJson(x, 200, answer, headers());
}

function requestOf(body: Body, maxTokens: number | undefined, session: string | undefined): ChatRequest {
  const { prompt, response_format: responseFormat } = body;
  const extra = extraOf(body, OWN);
  return { prompt, sampling: samplingOf(body, maxTokens), responseFormat, session, extra };
}

/** `max_length` counts the prompt as well, so the model is asked how long that is. */
async function newTokens(x: Exchange, { name, version }: Target, body: Body): Promise<number | undefined> {
  const { prompt, max_tokens, max_new_tokens = max_tokens, max_length } = body;
  if (max_length === undefined) return max_new_tokens;
  if (max_new_tokens !== undefined)
    throw invalid("Give max_new_tokens or max_length, not both", { param: "max_length" });
  const { length } = await x.parts.plane.tokenize(name, version, prompt, x.call());
  if (length < max_length) return max_length - length;
  const message = `'max_length' is ${max_length}, and the prompt alone has ${length} tokens: give max_new_tokens`;
  throw invalid(message, { param: "max_length" });
}

async function* events(parts: AsyncIterable<Part>, withSteps = false): AsyncGenerator<string> {
  const fold = new CompletionFold();
  for await (const part of parts) {
    if (part.choice !== 0) continue;
    fold.add(part);
    if (part.type === "step" && withSteps) yield sseData({ step: { name: part.name, detail: part.detail } });
    if (part.type === "text") yield sseData({ token: part.text, logprobs: part.logprobs });
  }
  const { choices, usage } = fold.finish();
  const { text: output, reason } = choices[0]!;
  yield sseData({ done: true, finish_reason: reason, usage: usageBody(usage), output });
}

function usageBody({ inputTokens, outputTokens }: Usage) {
  return { input_tokens: inputTokens, output_tokens: outputTokens };
}

/** 200 once the models of the start are loaded. */
function health(x: Exchange): Promise<void> {
  const { plane } = x.parts;
  if (!plane.serverReady()) throw new CapstanError("NOT_READY", "The models are not loaded yet");
  // Where keys decide who sees which model, a probe without one sees none.
  const models = x.parts.access ? undefined : plane.languageModels().map(({ name }) => name);
  return sendJson(x, 200, { status: "ok", models });
}
