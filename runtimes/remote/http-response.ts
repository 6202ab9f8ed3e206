import {
  type Datatype,
  elementCount,
  type InferResponse,
  isDatatype,
  type Parameters,
  type Tensor,
  type TensorData,
} from "../../src/contracts/index.ts";
import { readTensorData } from "../../src/v2/binary.ts";
import { readJsonElements, UNSAFE_INTEGER } from "../../src/v2/elements.ts";
import { parseJson, parseJsonExactly } from "../../src/v2/json.ts";
import { readShape } from "../../src/v2/request.ts";
import type { HttpAnswer } from "./http-exchange.ts";
import { isRecord, scalarsOf } from "./metadata.ts";

const HEADER_LENGTH = "inference-header-content-length";

/**
 * The outputs of an infer answer, as JSON or with the binary tensor extension.
 * @throws Error saying what in the answer is not V2.
 */
export function decodeResponse({ headers, body }: HttpAnswer): InferResponse {
  const header = headers[HEADER_LENGTH];
  const length = header === undefined ? body.length : Number(header);
  if (!(length >= 0 && length <= body.length)) throw new Error(`${HEADER_LENGTH} is '${header}'`);
  const text = body.subarray(0, length);
  const tail = body.subarray(length);
  try {
    return readResponse(parseJson(text), tail, inexact);
  } catch (thrown) {
    if (thrown !== UNSAFE_INTEGER) throw thrown;
    return readExactly(text, tail);
  }
}

/** Keeps every digit, for the rare answers that have more than a number holds. */
function readExactly(text: Buffer, tail: Buffer): InferResponse {
  try {
    return readResponse(parseJsonExactly(text), tail, (parameters) => parameters);
  } catch (thrown) {
    if (thrown === UNSAFE_INTEGER) throw new Error("an integer is written as a fraction");
    throw thrown;
  }
}

type Check = (parameters: Parameters) => Parameters;

function inexact(parameters: Parameters): Parameters {
  const loses = (value: unknown) => Number.isInteger(value) && !Number.isSafeInteger(value);
  if (Object.values(parameters).some(loses)) throw UNSAFE_INTEGER;
  return parameters;
}

function readResponse(answer: unknown, tail: Buffer, check: Check): InferResponse {
  if (!isRecord(answer) || !Array.isArray(answer.outputs)) throw new Error("it has no list of outputs");
  let offset = 0;
  const take = (size: number): Buffer => {
    const start = offset;
    offset += size;
    return tail.subarray(start, offset);
  };
  const outputs = answer.outputs.map((output) => readOutput(output, take, check));
  if (offset !== tail.length)
    throw new Error(`its outputs take ${offset} bytes, and ${tail.length} are there`);
  return { outputs, parameters: check(scalarsOf(answer.parameters) ?? {}) };
}

function readOutput(output: unknown, take: (size: number) => Buffer, check: Check): Tensor {
  if (!isRecord(output) || typeof output.name !== "string") throw new Error("an output has no name");
  const { name, datatype } = output;
  const where = `Output '${name}'`;
  if (!isDatatype(datatype)) throw new Error(`${where} has the unknown datatype '${datatype}'`);
  const shape = readShape(output.shape, where);
  const { binary_data_size: size, ...parameters } = check(scalarsOf(output.parameters) ?? {});
  const data =
    size === undefined
      ? readElements(datatype, shape, output.data, where)
      : readTensorData(datatype, elementCount(shape), take(Number(size)), where);
  return { name, datatype, shape, data, parameters };
}

const FLOATS: ReadonlySet<Datatype> = new Set(["FP16", "BF16", "FP32", "FP64"]);

/** MLServer writes what JSON has no number for, a missing value for one, as null. */
function readElements(
  datatype: Datatype,
  shape: readonly number[],
  data: unknown,
  where: string,
): TensorData {
  const holes = FLOATS.has(datatype) && Array.isArray(data) && data.includes(null);
  const values = holes ? data.map((value: unknown) => (value === null ? "NaN" : value)) : data;
  return readJsonElements(datatype, shape, elementCount(shape), values, where);
}
