import type { Datatype, TensorArrays } from "../contracts/index.ts";

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
