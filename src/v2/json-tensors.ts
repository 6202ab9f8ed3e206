import { isUtf8 } from "node:buffer";
import type { Datatype, Parameters, Tensor, TensorData } from "../contracts/index.ts";
import { fromBfloat16, fromFloat16 } from "./float16.ts";
import type { JsonWriter } from "./writer.ts";

/** Writes the elements of one datatype, comma separated. */
type Write = (writer: JsonWriter, data: TensorData) => void;

const integers: Write = (writer, data) => writer.integers(data as Int32Array);
const halves =
  (convert: (bits: number) => number): Write =>
  (writer, data) =>
    writer.float32s(Float32Array.from(data as Uint16Array, convert));

const WRITES: Readonly<Record<Datatype, Write>> = {
  BOOL: (writer, data) => writer.text(Array.from(data as Uint8Array, (value) => value !== 0).join(",")),
  UINT8: integers,
  UINT16: integers,
  UINT32: integers,
  UINT64: writeLongs,
  INT8: integers,
  INT16: integers,
  INT32: integers,
  INT64: writeLongs,
  FP16: halves(fromFloat16),
  BF16: halves(fromBfloat16),
  FP32: (writer, data) => writer.float32s(data as Float32Array),
  FP64: (writer, data) => writer.text(Array.from(data as Float64Array, doubleText).join(",")),
  BYTES: (writer, data) => writer.text((data as Uint8Array[]).map(quoted).join(",")),
};

function writeLongs(writer: JsonWriter, data: TensorData): void {
  writer.text((data as BigInt64Array).join(","));
}

function doubleText(value: number): string {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}

const quoted = (bytes: Uint8Array) =>
  JSON.stringify(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());

/** An output with its data. Bytes that are not text go as base64, and say so. */
export function writeElements(writer: JsonWriter, tensor: Tensor): void {
  const encoded = withoutRawBytes(tensor);
  writeTensorHead(writer, encoded, encoded.parameters);
  writer.ascii(',"data":[');
  WRITES[encoded.datatype](writer, encoded.data);
  writer.ascii("]}");
}

function withoutRawBytes(tensor: Tensor): Tensor {
  if (tensor.datatype !== "BYTES" || (tensor.data as Uint8Array[]).every((bytes) => isUtf8(bytes)))
    return tensor;
  const data = (tensor.data as Uint8Array[]).map((bytes) =>
    Buffer.from(Buffer.from(bytes).toString("base64")),
  );
  return { ...tensor, data, parameters: { ...tensor.parameters, content_type: "base64" } };
}

/** The fields before the data, left open. */
export function writeTensorHead(
  writer: JsonWriter,
  tensor: Tensor,
  parameters: Parameters | undefined,
): void {
  const { name, datatype, shape } = tensor;
  writer.text(`{"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(",")}]`);
  if (parameters === undefined || Object.keys(parameters).length === 0) return;
  writer.ascii(',"parameters":');
  writer.parameters(parameters);
}
