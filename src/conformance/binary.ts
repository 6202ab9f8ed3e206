/**
 * The binary tensor layout, written apart from the server's own codecs so that the two check each
 * other: little-endian, row-major, BOOL one byte, BYTES with a four-byte length before each element.
 */
import type { Datatype } from "../contracts/index.ts";
import type { inference } from "../grpc/generated/inference.js";
import type { JsonTensor, Value } from "./samples.ts";

interface Element {
  readonly size: number;
  write(view: DataView, offset: number, value: Value): void;
  read(view: DataView, offset: number): Value;
}

const number = (value: Value): number => Number(value);
const bigint = (value: Value): bigint => BigInt(value);

const ELEMENTS: Readonly<Partial<Record<Datatype, Element>>> = {
  BOOL: { size: 1, write: (v, o, x) => v.setUint8(o, x ? 1 : 0), read: (v, o) => v.getUint8(o) !== 0 },
  UINT8: { size: 1, write: (v, o, x) => v.setUint8(o, number(x)), read: (v, o) => v.getUint8(o) },
  INT8: { size: 1, write: (v, o, x) => v.setInt8(o, number(x)), read: (v, o) => v.getInt8(o) },
  UINT16: {
    size: 2,
    write: (v, o, x) => v.setUint16(o, number(x), true),
    read: (v, o) => v.getUint16(o, true),
  },
  INT16: { size: 2, write: (v, o, x) => v.setInt16(o, number(x), true), read: (v, o) => v.getInt16(o, true) },
  UINT32: {
    size: 4,
    write: (v, o, x) => v.setUint32(o, number(x), true),
    read: (v, o) => v.getUint32(o, true),
  },
  INT32: { size: 4, write: (v, o, x) => v.setInt32(o, number(x), true), read: (v, o) => v.getInt32(o, true) },
  UINT64: {
    size: 8,
    write: (v, o, x) => v.setBigUint64(o, bigint(x), true),
    read: (v, o) => v.getBigUint64(o, true),
  },
  INT64: {
    size: 8,
    write: (v, o, x) => v.setBigInt64(o, bigint(x), true),
    read: (v, o) => v.getBigInt64(o, true),
  },
  FP16: {
    size: 2,
    write: (v, o, x) => v.setFloat16(o, number(x), true),
    read: (v, o) => v.getFloat16(o, true),
  },
  FP32: {
    size: 4,
    write: (v, o, x) => v.setFloat32(o, number(x), true),
    read: (v, o) => v.getFloat32(o, true),
  },
  FP64: {
    size: 8,
    write: (v, o, x) => v.setFloat64(o, number(x), true),
    read: (v, o) => v.getFloat64(o, true),
  },
};

function lengthPrefixed(text: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text]);
}

/** The bytes of BYTES elements. */
export function encodeBytes(elements: readonly Buffer[]): Buffer {
  return Buffer.concat(elements.map(lengthPrefixed));
}

export function encodeBinary(datatype: Datatype, data: readonly Value[]): Buffer {
  const element = ELEMENTS[datatype];
  if (!element) return encodeBytes(data.map((value) => Buffer.from(String(value))));
  const bytes = Buffer.alloc(element.size * data.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const [index, value] of data.entries()) element.write(view, index * element.size, value);
  return bytes;
}

export function decodeBytes(bytes: Buffer): Buffer[] {
  const elements: Buffer[] = [];
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const end = offset + 4 + bytes.readUInt32LE(offset);
    elements.push(bytes.subarray(offset + 4, end));
    offset = end;
  }
  return elements;
}

export function decodeBinary(datatype: Datatype, source: Uint8Array): Value[] {
  const bytes = Buffer.from(source);
  const element = ELEMENTS[datatype];
  if (!element) return decodeBytes(bytes).map((text) => text.toString("utf8"));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = Math.floor(bytes.length / element.size);
  return Array.from({ length: count }, (_, index) => element.read(view, index * element.size));
}

type Contents = inference.InferTensorContents.Init;

/** gRPC typed contents; nothing for FP16 and BF16, which have no field. */
export function typedContents({ datatype, data }: JsonTensor): Contents | undefined {
  const numbers = (): number[] => data.map(Number);
  if (datatype === "BOOL") return { boolContents: data.map(Boolean) };
  if (datatype === "BYTES") return { bytesContents: data.map((value) => Buffer.from(String(value))) };
  if (datatype === "INT64") return { int64Contents: data.map(bigint) };
  if (datatype === "UINT64") return { uint64Contents: data.map(bigint) };
  if (datatype === "FP32") return { fp32Contents: numbers() };
  if (datatype === "FP64") return { fp64Contents: numbers() };
  if (datatype.startsWith("UINT")) return { uintContents: numbers() };
  return datatype.startsWith("INT") ? { intContents: numbers() } : undefined;
}

/** The elements of typed contents, whichever field holds them. */
export function contentValues(contents: inference.InferTensorContents): Value[] {
  const text = contents.bytesContents.map((bytes) => Buffer.from(bytes).toString("utf8"));
  const numbers = [...contents.intContents, ...contents.uintContents, ...contents.fp32Contents];
  const wide = [...contents.int64Contents, ...contents.uint64Contents, ...contents.fp64Contents];
  return [...contents.boolContents, ...numbers, ...wide, ...text];
}
