import {
  elementCount,
  type InferRequest,
  invalid,
  type Parameters,
  type RequestedOutput,
  type Tensor,
  type TensorSpec,
  textOf,
} from "../contracts/index.ts";
import { ARRAY_TYPES } from "./arrays.ts";
import { shown } from "./elements.ts";

/**
 * MLServer's content types: what the elements of a tensor stand for. `np` and types that are not known
 * change nothing, as tensors are what every runtime takes.
 */

const contentType = (parameters: Parameters | undefined) => parameters?.content_type;

/** Readers of BYTES inputs by content type. */
const READERS: Readonly<Record<string, (tensor: Tensor) => Tensor>> = {
  base64: fromBase64,
  datetime: checkDates,
  str: checkText,
};

/**
 * Applies the content types of a request, from the input, else the model's metadata, else the request.
 * @throws CapstanError INVALID_ARGUMENT for elements that are not what they are said to be.
 */
export function decodeContent(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  const whole = contentType(request.parameters);
  const { inputs } = request;
  let decoded: Tensor[] | undefined;
  for (let i = 0; i < inputs.length; i++) {
    const tensor = inputs[i]!;
    if (tensor.datatype !== "BYTES") continue;
    const spec = specs?.find(({ name }) => name === tensor.name);
    const type = contentType(tensor.parameters) ?? contentType(spec?.parameters) ?? whole;
    const read = typeof type === "string" && Object.hasOwn(READERS, type) ? READERS[type] : undefined;
    if (read === undefined) continue;
    decoded ??= [...inputs];
    decoded[i] = read(tensor);
  }
  const content = decoded === undefined ? request : { ...request, inputs: decoded };
  return whole === "pd" ? assembleColumns(content, specs) : content;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function fromBase64(tensor: Tensor): Tensor {
  const data = textElements(tensor).map((text, index) => {
    if (BASE64.test(text)) return Buffer.from(text, "base64");
    throw invalid(`Input '${tensor.name}': element ${index} is ${shown(text)}, which is not base64`);
  });
  return { ...tensor, data };
}

/** ISO 8601 dates and times, as Python's datetime.fromisoformat takes them. */
const ISO_DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

function checkDates(tensor: Tensor): Tensor {
  for (const [index, text] of textElements(tensor).entries()) {
    if (!ISO_DATE.test(text) || Number.isNaN(Date.parse(text))) {
      throw invalid(
        `Input '${tensor.name}': element ${index} is ${shown(text)}, which is not an ISO 8601 date or time`,
      );
    }
  }
  return tensor;
}

function checkText(tensor: Tensor): Tensor {
  textElements(tensor);
  return tensor;
}

function textElements(tensor: Tensor): string[] {
  try {
    return textOf(tensor.data as Uint8Array[]);
  } catch (cause) {
    throw invalid(`Input '${tensor.name}': has an element that is not UTF-8 text`, { cause });
  }
}

/**
 * A data frame for a model that takes one matrix: the request's inputs are its columns, in their order.
 * Other models take the columns as inputs of their own.
 */
function assembleColumns(request: InferRequest, specs: readonly TensorSpec[] | undefined): InferRequest {
  const [spec, ...others] = specs ?? [];
  const isMatrix = spec?.shape.length === 2 && spec.datatype !== "BYTES" && others.length === 0;
  if (spec === undefined || !isMatrix || request.inputs.some(({ name }) => name === spec.name))
    return request;
  const rows = request.inputs[0]!.shape[0] ?? 1;
  const columns = request.inputs.map((tensor) => columnOf(tensor, rows));
  return { ...request, inputs: [matrixOf(spec, columns, rows)] };
}

function columnOf(tensor: Tensor, rows: number): Tensor {
  const flat = tensor.shape.length === 1 || (tensor.shape.length === 2 && tensor.shape[1] === 1);
  if (flat && elementCount(tensor.shape) === rows && tensor.datatype !== "BYTES") return tensor;
  throw invalid(
    `Input '${tensor.name}': ${tensor.datatype} [${tensor.shape}] is not a column of ${rows} numbers, and the model takes one matrix`,
  );
}

function matrixOf({ name, datatype }: TensorSpec, columns: readonly Tensor[], rows: number): Tensor {
  const shape = [rows, columns.length];
  const data = new ARRAY_TYPES[datatype as "FP64"](rows * columns.length);
  for (const [index, column] of columns.entries()) {
    for (let row = 0; row < rows; row++) {
      const at = row * columns.length + index;
      setExactly(data, at, (column.data as Float64Array)[row]!, column, datatype);
    }
  }
  return { name, datatype, shape, data };
}

/** Floats may be rounded to the model's precision; integers must arrive as they are. */
function setExactly(
  data: Float64Array,
  at: number,
  value: number | bigint,
  column: Tensor,
  datatype: string,
): void {
  const isLong = datatype === "INT64" || datatype === "UINT64";
  const isInteger = typeof value === "bigint" || Number.isInteger(value);
  const converted = isLong && isInteger ? BigInt(value) : Number(value);
  if (isLong === (typeof converted === "bigint")) data[at] = converted as number;
  const exact = datatype.startsWith("FP") || (isInteger && data[at] === converted);
  if (!exact)
    throw invalid(`Input '${column.name}': ${value} cannot be a value of the model's ${datatype} matrix`);
}

/** Writes outputs as base64 text where the request, or the model's metadata, says that is what they are. */
export function encodeContent(
  outputs: readonly Tensor[],
  request: InferRequest,
  specs: readonly TensorSpec[] | undefined,
): readonly Tensor[] {
  if (!outputs.some(({ datatype }) => datatype === "BYTES")) return outputs;
  return outputs.map((output) => (wantsBase64(output, request.outputs, specs) ? toBase64(output) : output));
}

function wantsBase64(
  output: Tensor,
  asked: readonly RequestedOutput[] | undefined,
  specs: readonly TensorSpec[] | undefined,
): boolean {
  if (output.datatype !== "BYTES") return false;
  const named = ({ name }: { name: string }) => name === output.name;
  const type = contentType(asked?.find(named)?.parameters) ?? contentType(specs?.find(named)?.parameters);
  return type === "base64" && contentType(output.parameters) !== "base64";
}

function toBase64(output: Tensor): Tensor {
  const data = (output.data as Uint8Array[]).map((bytes) =>
    Buffer.from(Buffer.from(bytes).toString("base64")),
  );
  return { ...output, data, parameters: { ...output.parameters, content_type: "base64" } };
}
