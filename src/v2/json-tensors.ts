import { isUtf8 } from "node:buffer";
import type { Datatype, Parameters, Tensor, TensorData } from "../contracts/index.ts";
import { toBase64 } from "./base64.ts";
import { fromBfloat16, fromFloat16 } from "./float16.ts";
import type { JsonWriter } from "./writer.ts";

/** Writes the elements of one datatype, comma separated. */
type Write = (writer: JsonWriter, data: TensorData) => void;

const integers: Write = (writer, data) => writer.integers(data as Int32Array);
const longs: Write = (writer, data) => writer.longs(data as BigInt64Array);
const halves =
  (convert: (bits: number) => number): Write =>
  (writer, data) =>
    writer.float32s(Float32Array.from(data as Uint16Array, convert));

const WRITES: Readonly<Record<Datatype, Write>> = {
  BOOL: (writer, data) => writer.text(Array.from(data as Uint8Array, (value) => value !== 0).join(",")),
  UINT8: integers,
  UINT16: integers,
  UINT32: integers,
  UINT64: longs,
  INT8: integers,
  INT16: integers,
  INT32: integers,
  INT64: longs,
  FP16: halves(fromFloat16),
  BF16: halves(fromBfloat16),
  FP32: (writer, data) => writer.float32s(data as Float32Array),
  FP64: (writer, data) => writer.text(Array.from(data as Float64Array, doubleText).join(",")),
  BYTES: (writer, data) => writer.text((data as Uint8Array[]).map(quoted).join(",")),
};

/** `-0` would be an integer to many parsers, and lose its sign there. */
function doubleText(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  return Number.isFinite(value) ? String(value) : `"${value}"`;
}

const quoted = (bytes: Uint8Array) =>
  JSON.stringify(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString());

/** A tensor with its data. Bytes that are not text go as base64, and say so. */
export function writeElements(writer: JsonWriter, tensor: Tensor): void {
  const isRaw = tensor.datatype === "BYTES" && !(tensor.data as Uint8Array[]).every((bytes) => isUtf8(bytes));
  const encoded = isRaw ? toBase64(tensor) : tensor;
  writeTensorHead(writer, encoded, withoutBinaryFlags(encoded.parameters));
  writer.ascii(',"data":[');
  WRITES[encoded.datatype](writer, encoded.data);
  writer.ascii("]}");
}

/** How the bytes of another message travelled is nothing to say in this one. */
export function withoutBinaryFlags(parameters: Parameters | undefined): Parameters | undefined {
  if (parameters === undefined) return undefined;
  const { binary_data: _data, binary_data_size: _size, binary_data_output: _output, ...others } = parameters;
  return others;
}

/** The fields before the data, left open. */
export function writeTensorHead(
  writer: JsonWriter,
  tensor: Tensor,
  parameters: Parameters | undefined,
): void {
  const { name, datatype, shape } = tensor;
  writer.ascii('{"name":');
  writer.string(name);
  writer.ascii(`,"datatype":"${datatype}","shape":[`);
  writer.integers(shape);
  writer.ascii("]");
  writer.parametersField(parameters);
}
