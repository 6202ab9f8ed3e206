import {
  ARRAY_TYPES,
  DATATYPE_BYTES,
  type Datatype,
  invalid,
  type Tensor,
  type TensorArrays,
  type TensorData,
} from "../contracts/index.ts";

/**
 * The binary layout of V2, over HTTP and as gRPC raw contents: little-endian, row-major, BOOL one byte,
 * BYTES a u32 length before each element.
 */

const LENGTH_BYTES = 4;

type NumericData = TensorArrays[Exclude<Datatype, "BYTES">];

/**
 * Reads `count` elements that fill `bytes` exactly. Numbers are a view of `bytes` where its offset allows.
 * @param where names the tensor in messages, such as `Input 'X'`.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function readTensorData(
  datatype: Datatype,
  count: number,
  bytes: Uint8Array,
  where: string,
): TensorData {
  if (datatype === "BYTES") return readElements(count, bytes, where);
  const size = DATATYPE_BYTES[datatype];
  if (bytes.byteLength !== count * size) {
    throw invalid(
      `${where}: ${count} ${datatype} elements take ${count * size} bytes, and ${bytes.byteLength} are given`,
    );
  }
  // A copy by constructor: `slice` of a Buffer is another view.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const data = new ARRAY_TYPES[datatype](aligned.buffer, aligned.byteOffset, count);
  if (datatype === "BOOL") checkBooleans(data as Uint8Array, where);
  return data;
}

function checkBooleans(data: Uint8Array, where: string): void {
  const index = data.findIndex((value) => value > 1);
  if (index >= 0) throw invalid(`${where}: element ${index} is ${data[index]}, and a BOOL is 0 or 1`);
}

function readElements(count: number, bytes: Uint8Array, where: string): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const elements: Uint8Array[] = [];
  let offset = 0;
  while (offset < bytes.byteLength) {
    if (elements.length === count)
      throw invalid(`${where}: ${bytes.byteLength - offset} bytes are left over after ${count} elements`);
    const start = offset + LENGTH_BYTES;
    const end = start <= bytes.byteLength ? start + view.getUint32(offset, true) : Infinity;
    if (end > bytes.byteLength)
      throw invalid(
        `${where}: element ${elements.length} reaches beyond the ${bytes.byteLength} bytes given`,
      );
    elements.push(bytes.subarray(start, end));
    offset = end;
  }
  if (elements.length < count)
    throw invalid(`${where}: the shape has ${count} elements, and the bytes hold ${elements.length}`);
  return elements;
}

/** Bytes a tensor takes in the binary layout. */
export function binaryByteLength({ datatype, data }: Pick<Tensor, "datatype" | "data">): number {
  if (datatype !== "BYTES") return (data as NumericData).byteLength;
  return (data as Uint8Array[]).reduce((sum, element) => sum + LENGTH_BYTES + element.byteLength, 0);
}

/** A tensor's bytes: a view of the data for numbers, a new array for BYTES. */
export function writeTensorData(tensor: Pick<Tensor, "datatype" | "data">): Uint8Array {
  if (tensor.datatype === "BYTES")
    return writeElements(tensor.data as Uint8Array[], binaryByteLength(tensor));
  const data = tensor.data as NumericData;
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function writeElements(elements: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const element of elements) {
    view.setUint32(offset, element.byteLength, true);
    bytes.set(element, offset + LENGTH_BYTES);
    offset += LENGTH_BYTES + element.byteLength;
  }
  return bytes;
}
