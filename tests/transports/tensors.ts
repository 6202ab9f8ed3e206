import { encodeBinary, encodeBytes } from "../../src/conformance/binary.ts";
import type { Datatype } from "../../src/contracts/index.ts";

/**
 * Tensors of the tests, apart from the server's own codecs. What is compared are the bytes of the binary
 * layout: -0 counts, and so does every digit.
 */
export type Value = number | bigint | boolean | Buffer;

export interface TestTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: readonly Value[];
}

/** A tensor as it is compared. */
export interface Seen {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  /** In hexadecimal, so that a difference can be read. */
  readonly bytes: string;
}

/** The elements in the binary layout of V2. */
export function bytesOf(datatype: Datatype, data: readonly Value[]): Buffer {
  if (datatype === "BYTES") return encodeBytes(data as readonly Buffer[]);
  if (datatype === "BF16") return Buffer.concat(data.map(upperHalf));
  return encodeBinary(datatype, data as readonly (number | bigint | boolean)[]);
}

/** bfloat16: the upper half of a binary32, which the values of the tests fit into exactly. */
function upperHalf(value: Value): Buffer {
  const whole = Buffer.alloc(4);
  whole.writeFloatLE(Number(value));
  return whole.subarray(2);
}

export function seen(tensor: TestTensor, name = tensor.name): Seen {
  const { datatype, shape, data } = tensor;
  return { name, datatype, shape: [...shape], bytes: bytesOf(datatype, data).toString("hex") };
}

/** The same, of an output that came as bytes. */
export function seenRaw(
  output: { readonly name: string; readonly datatype: string; readonly shape: ArrayLike<number | bigint> },
  bytes: Uint8Array,
): Seen {
  const { name, datatype, shape } = output;
  const dimensions = Array.from(shape, Number);
  return { name, datatype, shape: dimensions, bytes: Buffer.from(bytes).toString("hex") };
}

const text = (...values: string[]) => values.map((value) => Buffer.from(value));

/** Six values of each datatype, its extremes among them. */
export const EDGES: Readonly<Record<Datatype, readonly Value[]>> = {
  BOOL: [true, false, false, true, true, false],
  UINT8: [0, 1, 127, 128, 254, 255],
  UINT16: [0, 1, 32_767, 32_768, 65_534, 65_535],
  UINT32: [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1],
  UINT64: [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 2n, 2n ** 64n - 1n],
  INT8: [-128, -127, -1, 0, 126, 127],
  INT16: [-32_768, -32_767, -1, 0, 32_766, 32_767],
  INT32: [-(2 ** 31), -(2 ** 31) + 1, -1, 0, 2 ** 31 - 2, 2 ** 31 - 1],
  INT64: [-(2n ** 63n), -(2n ** 53n) - 1n, -1n, 0n, 2n ** 53n + 1n, 2n ** 63n - 1n],
  FP16: [-0, 2 ** -24, 65_504, Number.NaN, Infinity, -Infinity],
  BF16: [-0, 2 ** -126, 1.5, Number.NaN, Infinity, -Infinity],
  FP32: [-0, 2 ** -149, Math.fround(0.1), Number.NaN, Infinity, -Infinity],
  FP64: [-0, Number.MIN_VALUE, -Number.MAX_VALUE, Number.NaN, Infinity, -Infinity],
  BYTES: text("", "plain", "naïve ✓ 日本語 🚀", '"quoted" \\ \n\t', "\u{feff}mark", "0"),
};

/** BYTES that are not text, which only a model of our own takes: onnxruntime has strings. */
export const NOT_TEXT: readonly Value[] = [
  Buffer.from([0xff, 0xfe, 0x80]),
  Buffer.from([0]),
  Buffer.from("text before\0and after"),
  Buffer.alloc(0),
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from("text"),
];
