import {
  DATATYPE_BYTES,
  type Datatype,
  elementCount,
  type InferRequest,
  invalid,
  isDatatype,
  type Parameters,
  type ParameterValue,
  type RequestedOutput,
  type Tensor,
  type TensorData,
  type TensorSpec,
} from "../contracts/index.ts";
import { readTensorData } from "./binary.ts";
import { readJsonElements, shown, UNSAFE_INTEGER } from "./elements.ts";
import { asObject, type JsonObject, parseJson, parseJsonExactly } from "./json.ts";

const HIGHEST_RANK = 32;
const LONGEST_ID = 1024;
const NO_PARAMETERS: Parameters = Object.freeze({});

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
  if (length === 0) return rawRequest(body, signature);
  return decode(body.subarray(0, length), () => new BinaryTail(body.subarray(length)));
}

/** An inference request out of JSON alone. */
export function decodeJsonRequest(text: Uint8Array): InferRequest {
  return decode(text, () => undefined);
}

function decode(text: Uint8Array, tail: () => BinaryTail | undefined): InferRequest {
  try {
    return readRequest(parseJson(text), tail());
  } catch (thrown) {
    if (thrown !== UNSAFE_INTEGER) throw thrown;
    return readRequest(parseJsonExactly(text), tail());
  }
}

function parseLength(header: string, available: number): number {
  const length = /^\d{1,15}$/.test(header) ? Number(header) : Number.NaN;
  if (length <= available) return length;
  throw invalid(
    `Inference-Header-Content-Length is ${shown(header)}; it must be an integer from 0 to the body's ${available} bytes`,
  );
}

/** The bytes behind the JSON, taken in the order of the inputs. */
class BinaryTail {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(size: number, where: string): Uint8Array {
    const left = this.#bytes.length - this.#offset;
    if (size > left)
      throw invalid(`${where}: binary_data_size is ${size}, and ${left} bytes are left in the body`);
    const start = this.#offset;
    this.#offset += size;
    return this.#bytes.subarray(start, this.#offset);
  }

  assertEmpty(): void {
    const left = this.#bytes.length - this.#offset;
    if (left > 0) throw invalid(`${left} bytes are left over in the body after the binary tensors`);
  }
}

function readRequest(value: unknown, tail: BinaryTail | undefined): InferRequest {
  const body = asObject(value, "The body");
  const { id, inputs, outputs } = body;
  if (id !== undefined && (typeof id !== "string" || id.length > LONGEST_ID)) {
    throw invalid(`'id' must be a string of at most ${LONGEST_ID} characters, not ${shown(id)}`);
  }
  if (!Array.isArray(inputs) || inputs.length === 0)
    throw invalid("'inputs' must be a list with at least one tensor");
  const request: InferRequest = {
    id,
    parameters: readParameters(body.parameters, "The request"),
    inputs: inputs.map((input, index) => readInput(input, index, tail)),
    outputs: outputs === undefined ? undefined : readOutputs(outputs),
  };
  tail?.assertEmpty();
  refuseTwice(request.inputs, "Input");
  if (request.outputs) refuseTwice(request.outputs, "Output");
  return request;
}

function readInput(value: unknown, index: number, tail: BinaryTail | undefined): Tensor {
  const input = asObject(value, `inputs[${index}]`);
  const name = readName(input.name, `inputs[${index}]`);
  const where = `Input '${name}'`;
  const { datatype } = input;
  if (!isDatatype(datatype)) {
    throw invalid(
      `${where}: datatype ${shown(datatype)} is not one of ${Object.keys(DATATYPE_BYTES).join(", ")}`,
    );
  }
  const shape = readShape(input.shape, where);
  const { binary_data_size: size, ...parameters } = readParameters(input.parameters, where);
  const data =
    size === undefined
      ? readJsonElements(datatype, shape, elementCount(shape), input.data, where)
      : readBinaryInput(input, datatype, shape, size, tail, where);
  return { name, datatype, shape, data, parameters };
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

/** A shape whose product is an exact integer. */
export function readShape(value: unknown, where: string): number[] {
  if (!Array.isArray(value))
    throw invalid(`${where}: 'shape' must be a list of integers, not ${shown(value)}`);
  if (value.length > HIGHEST_RANK)
    throw invalid(`${where}: shape has ${value.length} dimensions; ${HIGHEST_RANK} are allowed`);
  for (const dimension of value) {
    if (!Number.isSafeInteger(dimension) || dimension < 0) {
      throw invalid(
        `${where}: shape [${value.map(shown)}] has the dimension ${shown(dimension)}; each is an integer from 0 up`,
      );
    }
  }
  if (!Number.isSafeInteger(elementCount(value)))
    throw invalid(`${where}: shape [${value}] has more elements than can be counted`);
  return value as number[];
}

function readOutputs(value: unknown): RequestedOutput[] {
  if (!Array.isArray(value)) throw invalid(`'outputs' must be a list, not ${shown(value)}`);
  return value.map((each, index) => {
    const output = asObject(each, `outputs[${index}]`);
    const name = readName(output.name, `outputs[${index}]`);
    return { name, parameters: readParameters(output.parameters, `Output '${name}'`) };
  });
}

function readName(value: unknown, where: string): string {
  if (typeof value !== "string") throw invalid(`${where}: 'name' must be a string, not ${shown(value)}`);
  if (value === "" || value.length > 1024) throw invalid(`${where}: 'name' must have 1 to 1024 characters`);
  return value;
}

/** Parameters are scalars; what is not known is kept and tolerated. */
function readParameters(value: unknown, where: string): Parameters {
  if (value === undefined || value === null) return NO_PARAMETERS;
  const parameters = asObject(value, `${where}: 'parameters'`);
  for (const key in parameters) {
    const parameter = parameters[key];
    if (typeof parameter === "number" && Number.isInteger(parameter) && !Number.isSafeInteger(parameter))
      throw UNSAFE_INTEGER;
    if (!isScalar(parameter)) {
      throw invalid(
        `${where}: parameter '${key}' is ${shown(parameter)}; it must be a string, a number or a boolean`,
      );
    }
  }
  return parameters as Parameters;
}

function isScalar(value: unknown): boolean {
  return (
    typeof value === "string" ||
    typeof value === "number" ||
    typeof value === "boolean" ||
    typeof value === "bigint"
  );
}

/** Few tensors: comparing each with those before it beats building a set. */
function refuseTwice(tensors: readonly { readonly name: string }[], kind: string): void {
  for (let i = 1; i < tensors.length; i++) {
    for (let j = 0; j < i; j++) {
      if (tensors[i]!.name === tensors[j]!.name)
        throw invalid(`${kind} '${tensors[i]!.name}' is given twice`);
    }
  }
}

/**
 * A body that is nothing but the bytes of the model's one input, answered in binary. The one variable
 * dimension follows from their number; a BYTES input is one element (Triton, "raw binary request").
 */
function rawRequest(body: Uint8Array, signature: readonly TensorSpec[] | undefined): InferRequest {
  const [spec, ...others] = signature ?? [];
  if (spec === undefined || others.length > 0) {
    throw invalid(
      `A raw binary request needs a model with exactly one input; this one has ${signature?.length ?? "none that are known"}`,
    );
  }
  const { name, datatype } = spec;
  const where = `Input '${name}'`;
  const shape = datatype === "BYTES" ? spec.shape.map(() => 1) : rawShape(spec, body.length, where);
  const data = datatype === "BYTES" ? [body] : readTensorData(datatype, elementCount(shape), body, where);
  return { parameters: { binary_data_output: true }, inputs: [{ name, datatype, shape, data }] };
}

function rawShape({ shape, datatype }: TensorSpec, bytes: number, where: string): number[] {
  const variable = shape.filter((dimension) => dimension < 0).length;
  if (variable > 1)
    throw invalid(
      `${where}: shape [${shape}] has ${variable} variable dimensions; a raw binary request allows one`,
    );
  const known = elementCount(shape.filter((dimension) => dimension >= 0)) * DATATYPE_BYTES[datatype];
  const rows = bytes / known;
  if (variable === 1 && !Number.isInteger(rows))
    throw invalid(`${where}: ${bytes} bytes are no multiple of the ${known} bytes of a row`);
  return shape.map((dimension) => (dimension < 0 ? rows : dimension));
}
