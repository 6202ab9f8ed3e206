import {
  type Call,
  type FinishReason,
  foldParts,
  invalid,
  type Part,
  type Usage,
} from "../contracts/index.ts";
import { type Target, targetOf } from "../host/language-model.ts";
import { encodeInferResponse } from "../v2/index.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { type GenerateRequest, readGenerate } from "./generate-request.ts";
import { type JsonObject, parseObject } from "./json-body.ts";
import { answerHeaders, inferHeaders } from "./language-model.ts";
import { type Route, versioned } from "./route.ts";
import { sendJson } from "./send.ts";
import { sendEvents, sseData } from "./sse.ts";
import { answerInfer, checkMediaType, HEADER_LENGTH, inferRequestOf, modelOf } from "./v2.ts";

/**
 * V2's generate extension. As in MLServer these routes take an inference request as well, which is told by its
 * `inputs`; a stream then has one inference response in each event.
 */
export const generateRoutes: Route[] = [
  ...versioned({ method: "POST", path: "/v2/models/:model/generate", handle: generate }),
  ...versioned({ method: "POST", path: "/v2/models/:model/generate_stream", handle: generateStream }),
  ...versioned({ method: "POST", path: "/v2/models/:model/infer_stream", handle: generateStream }),
];

async function generate(x: Exchange): Promise<void> {
  const { bytes, fields } = await readEither(x);
  if (fields === undefined) return answerInfer(x, bytes);
  const asked = readGenerate(x, fields);
  if (asked.stream)
    throw invalid("'stream' is for generate_stream: this route answers once", { param: "stream" });
  const target = targetOf(x.parts.plane, modelOf(x), x.params.version);
  const headers = answerHeaders(x, target);
  const { choices, usage } = await foldParts(partsOf(x, target, asked, x.wholeCall(asked.parameters)));
  const { text, reason, logprobs } = choices[0]!;
  const details = asked.details ? detailsOf(reason, usage) : {};
  const answer = { ...namesOf(x, target, asked), text_output: text, ...withLogprobs(details, logprobs) };
  return sendJson(x, 200, answer, headers());
}

async function generateStream(x: Exchange): Promise<void> {
  const { bytes, fields } = await readEither(x);
  if (fields === undefined) {
    const headers = inferHeaders(x, modelOf(x), x.params.version);
    return sendEvents(x, inferEvents(x, bytes), { headers });
  }
  const asked = readGenerate(x, fields);
  const target = targetOf(x.parts.plane, modelOf(x), x.params.version);
  const parts = partsOf(x, target, asked, x.call(asked.parameters));
  const events = textEvents(parts, () => namesOf(x, target, asked), asked);
  return sendEvents(x, events, { headers: answerHeaders(x, target) });
}

interface Either {
  readonly bytes: Buffer;
  /** Absent: the body is an inference request. */
  readonly fields?: JsonObject;
}

/** The body of either kind; the model is looked for first, so that an unknown one is said to be so. */
export async function readEither(x: Exchange): Promise<Either> {
  checkMediaType(x);
  x.parts.plane.signature(modelOf(x), x.params.version);
  const bytes = await readBody(x.request, x.parts.settings.max_body_bytes);
  if (x.header(HEADER_LENGTH) !== undefined) return { bytes };
  const fields = parseObject(bytes);
  return fields.inputs === undefined ? { bytes, fields } : { bytes };
}

function partsOf(x: Exchange, { name, version }: Target, { request }: GenerateRequest, call: Call) {
  return x.parts.plane.chat(name, version, request, call);
}

function namesOf(x: Exchange, { name, answering }: Target, { id }: GenerateRequest) {
  const model_version = x.call().record.version ?? answering;
  return { ...(id === undefined ? {} : { id }), model_name: name, model_version };
}

function detailsOf(reason: FinishReason, { inputTokens, outputTokens }: Usage) {
  return { finish_reason: reason, input_tokens: inputTokens, output_tokens: outputTokens };
}

/** They are shown to whoever asked for them, other details or none. */
function withLogprobs(details: object, logprobs: unknown): { details?: object } {
  const shown = logprobs === undefined ? details : { ...details, logprobs };
  return Object.keys(shown).length === 0 ? {} : { details: shown };
}

/** The pieces concatenate to the answer; the one with the details is empty. */
async function* textEvents(
  parts: AsyncIterable<Part>,
  names: () => object,
  { details, steps }: GenerateRequest,
): AsyncGenerator<string> {
  for await (const part of parts) {
    if (part.choice !== 0) continue;
    if (part.type === "text")
      yield sseData({ ...names(), text_output: part.text, ...withLogprobs({}, part.logprobs) });
    if (part.type === "step" && steps) {
      yield sseData({ ...names(), text_output: "", step: { name: part.name, detail: part.detail } });
    }
    if (part.type === "finish" && details) {
      yield sseData({ ...names(), text_output: "", details: detailsOf(part.reason, part.usage) });
    }
  }
}

/** Events are text, so tensors are JSON in them, whatever the request says. */
async function* inferEvents(x: Exchange, bytes: Buffer): AsyncGenerator<string> {
  const request = inferRequestOf(x, bytes);
  const call = x.call(request.parameters);
  const responses = x.parts.plane.inferStream(modelOf(x), x.params.version, request, call);
  for await (const response of responses) {
    const { body } = encodeInferResponse(response, { parameters: {}, inputs: [] });
    yield `data: ${Buffer.from(body).toString("utf8")}\n\n`;
  }
}
