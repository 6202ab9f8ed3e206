import {
  type ChatRequest,
  elementCount,
  type InferRequest,
  invalid,
  isDatatype,
  type Parameters,
  type ParameterValue,
  type Tensor,
  textTensor,
} from "../contracts/index.ts";
import type { inference } from "../grpc/generated/inference.js";
import { readParameters, writeParameters } from "../grpc/parameters.ts";
import { readTypedContents } from "../grpc/typed-contents.ts";
import type { ModelResponse } from "../host/types.ts";
import type { StreamAsked } from "../http/event-source-model.ts";
import { readShape, readTensorData, writeTensorData } from "../v2/index.ts";

export interface ModelName {
  readonly model: string;
  readonly version: string | undefined;
}

/** What the gateway itself answers to. */
const OWN = ["resume", "ticket"];
/** Asks for a last, empty response even where the model does not know that it has ended (Triton). */
const WITH_EMPTY_FINAL = { triton_enable_empty_final_response: true };

/** A request of ModelStreamInfer; contents are raw: exact for every datatype, and no work for numbers. */
export function requestMessage(
  asked: StreamAsked,
  { model, version }: ModelName,
): inference.ModelInferRequest.Init {
  const { id, inputs, outputs, parameters } = asked.tensors ?? textRequest(asked.text);
  const passed = Object.entries({ ...parameters, ...WITH_EMPTY_FINAL }).filter(
    ([name]) => !OWN.includes(name),
  );
  return {
    modelName: model,
    modelVersion: version ?? "",
    id: id ?? "",
    parameters: writeParameters(Object.fromEntries(passed)),
    inputs: inputs.map(({ name, datatype, shape, parameters: own }) => {
      return { name, datatype, shape: [...shape], parameters: writeParameters(own) };
    }),
    outputs: outputs?.map(({ name, parameters: own }) => ({ name, parameters: writeParameters(own) })) ?? [],
    rawInputContents: inputs.map(writeTensorData),
  };
}

/** V2 of a language model: the text is `text_input`, its settings are parameters. */
function textRequest({ id, request, parameters }: NonNullable<StreamAsked["text"]>): InferRequest {
  const text = request.messages?.[0]?.content as string;
  const settings = { ...samplingParameters(request), ...extraParameters(request), ...parameters };
  return {
    ...(id === undefined ? {} : { id }),
    parameters: settings,
    inputs: [textTensor("text_input", [text])],
  };
}

function samplingParameters({ sampling, session }: ChatRequest): Parameters {
  const { stop } = sampling;
  const named: Record<string, ParameterValue | undefined> = {
    max_tokens: sampling.maxTokens,
    temperature: sampling.temperature,
    top_p: sampling.topP,
    top_k: sampling.topK,
    min_p: sampling.minP,
    seed: sampling.seed,
    // Parameters are scalars, so several texts go as one JSON array.
    stop: stop && JSON.stringify(stop),
    frequency_penalty: sampling.frequencyPenalty,
    presence_penalty: sampling.presencePenalty,
    repeat_penalty: sampling.repeatPenalty,
    session_id: session,
  };
  return Object.fromEntries(
    Object.entries(named).filter((entry): entry is [string, ParameterValue] => entry[1] !== undefined),
  );
}

/** @throws CapstanError INVALID_ARGUMENT for one that gRPC has no form for. */
function extraParameters({ extra = {} }: ChatRequest): Parameters {
  for (const [name, value] of Object.entries(extra)) {
    if (typeof value !== "object") continue;
    throw invalid(`'${name}' must be a text, a number or true or false: it goes on as a parameter`, {
      param: name,
    });
  }
  return extra as Parameters;
}

/**
 * A response as the host knows them; each form of contents is read.
 * @throws Error saying what in it is not V2.
 */
export function readResponse(message: inference.ModelInferResponse): ModelResponse {
  const { modelName, modelVersion, outputs, rawOutputContents, parameters } = message;
  if (rawOutputContents.length > 0 && rawOutputContents.length !== outputs.length) {
    throw new Error(`${rawOutputContents.length} raw contents for ${outputs.length} outputs`);
  }
  return {
    modelName,
    modelVersion,
    outputs: outputs.map((output, index) => readOutput(output, rawOutputContents[index])),
    parameters: readParameters(parameters, "The answer"),
  };
}

function readOutput(
  { name, datatype, shape: dimensions, contents }: inference.ModelInferResponse.InferOutputTensor,
  raw: Uint8Array | undefined,
): Tensor {
  const where = `Output '${name}'`;
  if (!isDatatype(datatype)) throw new Error(`${where} has the unknown datatype '${datatype}'`);
  const shape = readShape(dimensions.map(Number), where);
  const count = elementCount(shape);
  const data =
    raw === undefined
      ? readTypedContents(datatype, contents, count, where)
      : readTensorData(datatype, count, raw, where);
  return { name, datatype, shape, data };
}
