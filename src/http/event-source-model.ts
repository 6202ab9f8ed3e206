import type { Call, InferRequest, Parameters } from "../contracts/index.ts";
import { targetOf } from "../host/language-model.ts";
import type { Credential } from "../host/streams/credential.ts";
import type { StreamEvent } from "../host/streams/event.ts";
import { eventsOfParts, eventsOfResponses } from "./event-source-events.ts";
import type { Exchange } from "./exchange.ts";
import type { GenerateRequest } from "./generate-request.ts";
import { answerHeaders } from "./language-model.ts";
import type { Headers } from "./send.ts";
import { modelOf } from "./v2.ts";

/** What is to be answered: a text, or an inference request. */
export type StreamAsked = { readonly parameters: Parameters } & (
  | { readonly text: GenerateRequest; readonly tensors?: never }
  | { readonly tensors: InferRequest; readonly text?: never }
);

/** The model of a request, wherever it runs. */
export interface ModelStream {
  /** Of the answer; ask for them before the events, and call the result at the first one. */
  headers(): () => Headers;
  /** @param credential who asks, for a server that is to be told. */
  events(asked: StreamAsked, call: Call, credential: Credential): AsyncIterable<StreamEvent>;
}

/** @throws CapstanError for a model that is not there, or does not stream text. */
export type OpenModel = (x: Exchange) => ModelStream;

/** A language model of this server. */
export function servedModel(x: Exchange): ModelStream {
  const { plane } = x.parts;
  const target = targetOf(plane, modelOf(x), x.params.version);
  const { name, version } = target;
  return {
    headers: () => answerHeaders(x, target),
    events({ text, tensors }, call) {
      if (text === undefined) return eventsOfResponses(plane.inferStream(name, version, tensors, call));
      return eventsOfParts(plane.chat(name, version, text.request, call));
    },
  };
}
