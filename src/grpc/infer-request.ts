import {
  elementCount,
  type InferRequest,
  invalid,
  type Parameters,
  type RequestedOutput,
  type Tensor,
} from "../contracts/index.ts";
import { readTensorData } from "../v2/binary.ts";
import {
  readDatatype,
  readId,
  readName,
  readShape,
  refuseExtensions,
  refuseTwice,
} from "../v2/request-fields.ts";
import type { inference } from "./generated/inference.js";
import { readParameters } from "./parameters.ts";
import { readTypedContents } from "./typed-contents.ts";

type Message = inference.ModelInferRequest;
type InputMessage = inference.ModelInferRequest.InferInputTensor;

/**
 * The request in a ModelInferRequest. Numbers of raw contents are views of the message where its alignment
 * allows.
 * @throws CapstanError INVALID_ARGUMENT naming the input and what does not fit (V2 gRPC: typed and raw
 * contents exclude each other, and each input has its own element of raw_input_contents).
 */
export function readInferRequest(message: Message): InferRequest {
  const { inputs, outputs, rawInputContents: raw } = message;
  if (raw.length > 0 && raw.length !== inputs.length) {
    throw invalid(
      `raw_input_contents has ${raw.length} elements for ${inputs.length} inputs; each input needs one`,
    );
  }
  const request: InferRequest = {
    id: readId(message.id || undefined),
    parameters: readParameters(message.parameters, "The request"),
    inputs: inputs.map((input, index) => readInput(input, index, raw[index])),
    outputs: outputs.length > 0 ? outputs.map(readOutput) : undefined,
  };
  refuseTwice(request.inputs, "Input");
  if (request.outputs) refuseTwice(request.outputs, "Output");
  return request;
}

/** A request that came raw is answered raw (V2 gRPC). */
export function isRaw(message: Message): boolean {
  return message.rawInputContents.length > 0;
}

function readInput(input: InputMessage, index: number, raw: Uint8Array | undefined): Tensor {
  const { contents } = input;
  const name = readName(input.name, `inputs[${index}]`);
  const where = `Input '${name}'`;
  const datatype = readDatatype(input.datatype, where);
  const parameters = someParameters(input.parameters, where);
  if (raw && contents) throw invalid(`${where} has both contents and raw_input_contents; send one of them`);
  const shape = readShape(input.shape.map(Number), where);
  const count = elementCount(shape);
  const data = raw
    ? readTensorData(datatype, count, raw, where)
    : readTypedContents(datatype, contents, count, where);
  return { name, datatype, shape, data, parameters };
}

function readOutput(
  { name, parameters }: inference.ModelInferRequest.InferRequestedOutputTensor,
  index: number,
): RequestedOutput {
  readName(name, `outputs[${index}]`);
  return { name, parameters: someParameters(parameters, `Output '${name}'`) };
}

function someParameters(sent: Message["parameters"], where: string): Parameters | undefined {
  for (const _ in sent) {
    const parameters = readParameters(sent, where);
    refuseExtensions(parameters, where);
    return parameters;
  }
  return undefined;
}
