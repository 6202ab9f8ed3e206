/**
 * Tensors as every plugin sees them: typed arrays, flat and row-major, never JSON. Datatype names and
 * sizes are those of the V2 / Open Inference Protocol.
 */

/** The array that holds the elements of each datatype. FP16 and BF16 are carried as their raw bits. */
export interface TensorArrays {
  /** One byte an element, 0 or 1. */
  BOOL: Uint8Array;
  UINT8: Uint8Array;
  UINT16: Uint16Array;
  UINT32: Uint32Array;
  UINT64: BigUint64Array;
  INT8: Int8Array;
  INT16: Int16Array;
  INT32: Int32Array;
  INT64: BigInt64Array;
  /** IEEE binary16 bits. */
  FP16: Uint16Array;
  /** bfloat16 bits: the upper half of a binary32. */
  BF16: Uint16Array;
  FP32: Float32Array;
  FP64: Float64Array;
  /** One byte string an element; text is UTF-8. */
  BYTES: Uint8Array[];
}

export type Datatype = keyof TensorArrays;
export type TensorData = TensorArrays[Datatype];

/** Bytes an element takes in the binary layout; 0 for BYTES, whose elements carry their own length. */
export const DATATYPE_BYTES: Readonly<Record<Datatype, number>> = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  BF16: 2,
  FP32: 4,
  FP64: 8,
  BYTES: 0,
};

type Numeric = Exclude<Datatype, "BYTES">;

interface ArrayType<A> {
  new (length: number): A;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): A;
}

/** The typed array of each datatype that has one. */
export const ARRAY_TYPES: { readonly [D in Numeric]: ArrayType<TensorArrays[D]> } = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  BF16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array,
};

export function isDatatype(value: unknown): value is Datatype {
  return typeof value === "string" && Object.hasOwn(DATATYPE_BYTES, value);
}

/** Request, tensor and response parameters of V2: scalars only. */
export type ParameterValue = string | number | boolean | bigint;
export type Parameters = Readonly<Record<string, ParameterValue>>;

export interface Tensor {
  readonly name: string;
  readonly datatype: Datatype;
  /** Non-negative integers; their product is the number of elements in `data`. */
  readonly shape: readonly number[];
  readonly data: TensorData;
  readonly parameters?: Parameters;
}

/** What a model takes or gives. -1 is a dimension of any size. */
export interface TensorSpec {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** An input that may be left out of a request. */
  readonly optional?: boolean;
  /** Metadata kept from model-settings.json, such as `content_type`. */
  readonly parameters?: Parameters;
}

/** Number of elements of a shape; Infinity-safe, so compare with `===` against a real length. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const dimension of shape) count *= dimension;
  return count;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The elements of a BYTES tensor as text.
 * @throws TypeError where an element is not UTF-8.
 */
export function textOf(data: readonly Uint8Array[]): string[] {
  return data.map((bytes) => utf8.decode(bytes));
}

/** A BYTES tensor of UTF-8 text. `shape` defaults to `[values.length]`. */
export function textTensor(name: string, values: readonly string[], shape = [values.length]): Tensor {
  return { name, datatype: "BYTES", shape, data: values.map((value) => Buffer.from(value, "utf8")) };
}
