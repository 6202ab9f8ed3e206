import {
  type Datatype,
  elementCount,
  type InferRequest,
  invalid,
  type ParameterValue,
  type Tensor,
  type TensorData,
  type TensorSpec,
} from "../contracts/index.ts";
import { readTensorData } from "./binary.ts";
import { BinaryTail } from "./binary-tail.ts";
import { readJsonElements, UNSAFE_INTEGER } from "./elements.ts";
import { asObject, type JsonObject, parseJson, parseJsonExactly } from "./json.ts";
import { shown } from "./messages.ts";
import { readRawRequest } from "./raw-request.ts";
import {
  checkFlag,
  readDatatype,
  readId,
  readName,
  readOutputs,
  readParameters,
  readShape,
  refuseExtensions,
  refuseTwice,
} from "./request-fields.ts";

export { readShape } from "./request-fields.ts";

/**
 * An inference request out of an HTTP body (V2 REST, and its binary tensor extension).
 * @param headerLength the header Inference-Header-Content-Length as received; absent: the body is JSON alone;
 * "0": the body is the one input itself.
 * @param signature the model's inputs: needed for a body without JSON.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function decodeInferRequest(
  body: Uint8Array,
  headerLength: string | undefined,
  signature?: readonly TensorSpec[],
): InferRequest {
  if (headerLength === undefined) return decodeJsonRequest(body);
  const length = parseLength(headerLength, body.length);
  if (length === 0) return readRawRequest(body, signature);
  return decode(body.subarray(0, length), body.subarray(length));
}

/** An inference request out of JSON alone. */
export function decodeJsonRequest(text: Uint8Array): InferRequest {
  return decode(text, undefined);
}

function parseLength(header: string, available: number): number {
  const length = /^\d{1,15}$/.test(header) ? Number(header) : Number.NaN;
  if (length <= available) return length;
  throw invalid(
    `Inference-Header-Content-Length is ${shown(header)}; it must be an integer from 0 to the body's ${available} bytes`,
  );
}

/** What the fields of one request are read from. */
interface Source {
  /** Whether the JSON was parsed with all digits of its integers. */
  readonly exact: boolean;
  /** Absent without the header Inference-Header-Content-Length. */
  readonly tail: BinaryTail | undefined;
}

function decode(text: Uint8Array, binary: Uint8Array | undefined): InferRequest {
  const tail = () => (binary === undefined ? undefined : new BinaryTail(binary));
  try {
    return readRequest(parseJson(text), { exact: false, tail: tail() });
  } catch (thrown) {
    if (thrown !== UNSAFE_INTEGER) throw thrown;
    return readRequest(parseJsonExactly(text), { exact: true, tail: tail() });
  }
}

function readRequest(value: unknown, source: Source): InferRequest {
  const body = asObject(value, "The body");
  if (!Array.isArray(body.inputs) || body.inputs.length === 0)
    throw invalid("'inputs' must be a list with at least one tensor");
  const request: InferRequest = {
    id: readId(body.id),
    parameters: readParameters(body.parameters, "The request", source.exact),
    inputs: body.inputs.map((input, index) => readInput(input, index, source)),
    outputs: readOutputs(body.outputs, source.exact),
  };
  source.tail?.assertEmpty();
  checkFlag(request.parameters, "binary_data_output", "The request");
  refuseTwice(request.inputs, "Input");
  if (request.outputs) refuseTwice(request.outputs, "Output");
  return request;
}

function readInput(value: unknown, index: number, source: Source): Tensor {
  const input = asObject(value, `inputs[${index}]`);
  const name = readName(input.name, `inputs[${index}]`);
  const where = `Input '${name}'`;
  const datatype = readDatatype(input.datatype, where);
  const shape = readShape(input.shape, where);
  const parameters = readParameters(input.parameters, where, source.exact);
  refuseExtensions(parameters, where);
  const { binary_data_size: size } = parameters;
  if (size === undefined) {
    const data = readJsonElements(datatype, shape, elementCount(shape), input.data, where, source.exact);
    return { name, datatype, shape, data, parameters };
  }
  const data = readBinaryInput(input, datatype, shape, size, source.tail, where);
  const { binary_data_size: _, ...others } = parameters;
  return { name, datatype, shape, data, parameters: others };
}

function readBinaryInput(
  input: JsonObject,
  datatype: Datatype,
  shape: readonly number[],
  size: ParameterValue,
  tail: BinaryTail | undefined,
  where: string,
): TensorData {
  if (input.data !== undefined) throw invalid(`${where}: has both 'data' and binary_data_size`);
  if (tail === undefined)
    throw invalid(`${where}: binary_data_size needs the header Inference-Header-Content-Length`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${where}: binary_data_size must be a number of bytes, not ${shown(size)}`);
  }
  return readTensorData(datatype, elementCount(shape), tail.take(size, where), where);
}
