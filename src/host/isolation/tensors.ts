import {
  ARRAY_TYPES,
  DATATYPE_BYTES,
  type Datatype,
  type InferRequest,
  type InferResponse,
  type Tensor,
  type TensorData,
} from "../../contracts/index.ts";

/** A tensor without its data, which begins at `offset` of the buffer that goes with it. */
interface WireTensor extends Omit<Tensor, "data"> {
  readonly offset: number;
  /** Elements. */
  readonly length: number;
}

/** The same object with its tensors in one buffer, which may be transferred: nobody else has it. */
export type Packed<T> = Omit<T, Side> & {
  readonly packed: { readonly side: Side; readonly tensors: readonly WireTensor[] };
  readonly buffer: ArrayBuffer;
};

type Side = "inputs" | "outputs";

/** Of any element; each tensor begins at a multiple of it. */
const ALIGNMENT = 8;
const LENGTH_BYTES = 4;

/**
 * The data of all tensors is copied once, into a buffer of its own. It cannot be handed over without that: what a
 * caller sends is often a view of something larger that it goes on using.
 */
export function packRequest({ inputs, ...rest }: InferRequest): Packed<InferRequest> {
  return { ...rest, ...pack("inputs", inputs) };
}

export function packResponse({ outputs, ...rest }: InferResponse): Packed<InferResponse> {
  return { ...rest, ...pack("outputs", outputs) };
}

/** The tensors are views of the buffer. */
export function unpackRequest({ packed, buffer, ...rest }: Packed<InferRequest>): InferRequest {
  return { ...rest, inputs: packed.tensors.map((tensor) => read(tensor, buffer)) };
}

export function unpackResponse({ packed, buffer, ...rest }: Packed<InferResponse>): InferResponse {
  return { ...rest, outputs: packed.tensors.map((tensor) => read(tensor, buffer)) };
}

function pack(side: Side, tensors: readonly Tensor[]) {
  let end = 0;
  const wire = tensors.map(({ data, ...tensor }): WireTensor => {
    const offset = end;
    end += Math.ceil(sizeOf(data) / ALIGNMENT) * ALIGNMENT;
    return { ...tensor, offset, length: data.length };
  });
  const buffer = new ArrayBuffer(end);
  tensors.forEach(({ data }, index) => {
    write(data, new Uint8Array(buffer, wire[index]!.offset));
  });
  return { packed: { side, tensors: wire }, buffer };
}

function sizeOf(data: TensorData): number {
  if (!Array.isArray(data)) return data.byteLength;
  return data.reduce((sum, { byteLength }) => sum + byteLength, data.length * LENGTH_BYTES);
}

/** BYTES: the length of each element, then their bytes. */
function write(data: TensorData, target: Uint8Array): void {
  if (!Array.isArray(data)) {
    target.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return;
  }
  const lengths = new Uint32Array(target.buffer, target.byteOffset, data.length);
  let at = data.length * LENGTH_BYTES;
  data.forEach((element, index) => {
    lengths[index] = element.byteLength;
    target.set(element, at);
    at += element.byteLength;
  });
}

function read({ offset, length, ...tensor }: WireTensor, buffer: ArrayBuffer): Tensor {
  const { datatype } = tensor;
  if (isBytes(datatype)) return { ...tensor, data: readBytes(buffer, offset, length) };
  return { ...tensor, data: new ARRAY_TYPES[datatype](buffer, offset, length) };
}

const isBytes = (datatype: Datatype): datatype is "BYTES" => DATATYPE_BYTES[datatype] === 0;

function readBytes(buffer: ArrayBuffer, offset: number, length: number): Uint8Array[] {
  let at = offset + length * LENGTH_BYTES;
  return Array.from(new Uint32Array(buffer, offset, length), (size) => {
    const element = new Uint8Array(buffer, at, size);
    at += size;
    return element;
  });
}
