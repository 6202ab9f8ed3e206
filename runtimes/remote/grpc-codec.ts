import {
  elementCount,
  type InferRequest,
  type InferResponse,
  isDatatype,
  type Tensor,
} from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { readParameters, writeParameters } from "../../src/grpc/parameters.ts";
import { readTypedContents } from "../../src/grpc/typed-contents.ts";
import { readTensorData, writeTensorData } from "../../src/v2/binary.ts";
import { readShape } from "../../src/v2/request.ts";
import type { BackendParts } from "./backend.ts";

type Answer = inference.ModelInferResponse;
type Output = inference.ModelInferResponse.InferOutputTensor;

/** A request with raw contents: exact for every datatype, and no work for numbers. */
export function encodeRequest(
  { id, parameters, inputs, outputs }: InferRequest,
  { model, version }: Pick<BackendParts, "model" | "version">,
): inference.ModelInferRequest.Init {
  return {
    modelName: model,
    modelVersion: version,
    id,
    parameters: writeParameters(parameters),
    inputs: inputs.map(({ name, datatype, shape, parameters }) => {
      return { name, datatype, shape, parameters: writeParameters(parameters) };
    }),
    outputs: outputs?.map(({ name, parameters }) => ({ name, parameters: writeParameters(parameters) })),
    rawInputContents: inputs.map(writeTensorData),
  };
}

/** @throws Error saying what in the answer is not V2. */
export function decodeResponse({ outputs, rawOutputContents, parameters }: Answer): InferResponse {
  if (rawOutputContents.length > 0 && rawOutputContents.length !== outputs.length) {
    throw new Error(`${rawOutputContents.length} raw contents for ${outputs.length} outputs`);
  }
  return {
    outputs: outputs.map((output, index) => decodeTensor(output, rawOutputContents[index])),
    parameters: readParameters(parameters, "The answer"),
  };
}

/** Triton's way to say, when asked to, that nothing more comes. */
export function isEmptyFinal({ outputs, parameters }: Answer): boolean {
  return outputs.length === 0 && parameters.triton_final_response?.boolParam === true;
}

function decodeTensor(output: Output, raw: Uint8Array | undefined): Tensor {
  const { name, datatype, contents } = output;
  const where = `Output '${name}'`;
  if (!isDatatype(datatype)) throw new Error(`${where} has the unknown datatype '${datatype}'`);
  const shape = readShape(output.shape.map(Number), where);
  const count = elementCount(shape);
  const data =
    raw === undefined
      ? readTypedContents(datatype, contents, count, where)
      : readTensorData(datatype, count, raw, where);
  return { name, datatype, shape, data, parameters: readParameters(output.parameters, where) };
}
