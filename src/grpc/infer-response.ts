import type { Tensor } from "../contracts/index.ts";
import type { ModelResponse } from "../host/types.ts";
import { writeTensorData } from "../v2/binary.ts";
import type { inference } from "./generated/inference.js";
import { writeParameters } from "./parameters.ts";
import { hasTypedForm, writeTypedContents } from "./typed-contents.ts";

type Message = inference.ModelInferResponse.Init;

/**
 * An answer as a message: every output raw, or every output typed. An answer with an FP16 or BF16 output is
 * raw whatever was asked for: the protocol has no typed field for them, and allows no mixture.
 * @param raw whether the request was raw (V2 gRPC: the answer follows the request).
 */
export function writeInferResponse(response: ModelResponse, raw: boolean): Message {
  const { outputs } = response;
  const allRaw = raw || !outputs.every(({ datatype }) => hasTypedForm(datatype));
  return {
    modelName: response.modelName,
    modelVersion: response.modelVersion,
    id: response.id,
    parameters: writeParameters(response.parameters),
    outputs: outputs.map((output) => writeOutput(output, allRaw)),
    rawOutputContents: allRaw ? outputs.map(writeTensorData) : undefined,
  };
}

function writeOutput(output: Tensor, raw: boolean): inference.ModelInferResponse.InferOutputTensor.Init {
  const { name, datatype, shape, data } = output;
  return {
    name,
    datatype,
    shape,
    parameters: writeParameters(output.parameters),
    contents: raw ? undefined : writeTypedContents(datatype, data),
  };
}
