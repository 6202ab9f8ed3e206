import {
  DATATYPE_BYTES,
  elementCount,
  type InferRequest,
  invalid,
  type TensorSpec,
} from "../contracts/index.ts";
import { readTensorData } from "./binary.ts";

/**
 * A body that is nothing but the bytes of the model's one input, answered in binary. The one variable
 * dimension follows from their number; a BYTES input is one element (Triton, "raw binary request").
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readRawRequest(body: Uint8Array, signature: readonly TensorSpec[] | undefined): InferRequest {
  const [spec, ...others] = signature ?? [];
  if (spec === undefined || others.length > 0) {
    throw invalid(
      `A raw binary request needs a model with exactly one input; this one has ${signature?.length ?? "none that are known"}`,
    );
  }
  const { name, datatype } = spec;
  const where = `Input '${name}'`;
  const isBytes = datatype === "BYTES";
  const shape = isBytes ? oneElement(spec, where) : rawShape(spec, body.length, where);
  const data = isBytes ? [body] : readTensorData(datatype, elementCount(shape), body, where);
  return { parameters: { binary_data_output: true }, inputs: [{ name, datatype, shape, data }] };
}

function oneElement({ shape }: TensorSpec, where: string): number[] {
  if (shape.every((dimension) => dimension < 0 || dimension === 1)) return shape.map(() => 1);
  throw invalid(
    `${where}: a raw binary request is one BYTES element, and the model's shape is [${shape}]; send JSON, or binary_data_size`,
  );
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
