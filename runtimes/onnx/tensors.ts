import { isUtf8 } from "node:buffer";
import type { OnnxValue, Tensor as OrtTensor } from "onnxruntime-node";
import { elementCount, invalid, type Tensor, type TensorSpec } from "../../src/contracts/index.ts";
import { ELEMENT_TYPE } from "./signature.ts";

/**
 * A tensor as onnxruntime reads it. Its data is not copied. It is the four properties the native side reads
 * and not an `ort.Tensor`, because that turns FP16 bits into a Float16Array where there is one, and the native
 * side then finds no data in it.
 * @throws CapstanError INVALID_ARGUMENT naming the input and what is wrong with it.
 */
export function toOnnx(tensor: Tensor, spec: TensorSpec): OnnxValue {
  if (tensor.datatype !== spec.datatype) {
    throw invalid(`Input '${tensor.name}' is ${tensor.datatype}; the model takes ${spec.datatype}`);
  }
  const { length } = tensor.data;
  if (elementCount(tensor.shape) !== length) {
    throw invalid(`Input '${tensor.name}' has shape [${tensor.shape.join(", ")}] and ${length} elements`);
  }
  const value: Pick<OrtTensor, "type" | "data" | "dims" | "location"> = {
    type: ELEMENT_TYPE.get(tensor.datatype) as OrtTensor.Type,
    data: Array.isArray(tensor.data) ? toStrings(tensor.name, tensor.data) : tensor.data,
    dims: tensor.shape,
    location: "cpu",
  };
  return value as OnnxValue;
}

/** onnxruntime takes text only, and would cut it at the first NUL. */
function toStrings(input: string, elements: readonly Uint8Array[]): string[] {
  return elements.map((bytes, index) => {
    if (!isUtf8(bytes)) {
      throw invalid(`Input '${input}': element ${index} is not UTF-8; the model takes text`);
    }
    if (bytes.includes(0)) {
      throw invalid(`Input '${input}': element ${index} holds a NUL character, which the model cannot take`);
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  });
}

/** A result as V2 names it. Numbers are not copied. */
export function fromOnnx(value: OnnxValue, { name, datatype }: TensorSpec): Tensor {
  const shape = value.dims;
  const data: unknown = value.data;
  if (datatype === "BYTES") {
    return { name, datatype, shape, data: (data as string[]).map((text) => Buffer.from(text, "utf8")) };
  }
  if (datatype === "FP16") return { name, datatype, shape, data: bits(data as Uint16Array) };
  return { name, datatype, shape, data: data as Exclude<Tensor["data"], Uint8Array[]> };
}

/** FP16 as its bits, whether onnxruntime gave a Uint16Array or a Float16Array. */
function bits(data: NodeJS.ArrayBufferView & { readonly length: number }): Uint16Array {
  return data instanceof Uint16Array ? data : new Uint16Array(data.buffer, data.byteOffset, data.length);
}
