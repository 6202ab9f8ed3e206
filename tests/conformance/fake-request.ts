/** How the fake server reads bodies and tensors. */
import type { IncomingMessage } from "node:http";
import { gunzipSync, inflateSync } from "node:zlib";
import { decodeBinary, decodeBytes, encodeBinary, encodeBytes } from "../../src/conformance/binary.ts";
import { isRecord } from "../../src/conformance/expect.ts";
import { type Datatype, isDatatype } from "../../src/contracts/index.ts";
import { type FakeTensor, Refusal } from "./fake-model.ts";

/** BYTES elements are kept as strings of one character a byte, so that any bytes survive. */
export function recoded(tensor: FakeTensor, from: BufferEncoding, to: BufferEncoding): FakeTensor {
  if (tensor.datatype !== "BYTES") return tensor;
  const text = (value: unknown): string => {
    if (typeof value !== "string") throw new Refusal(400, "An element of BYTES is no string");
    return Buffer.from(value, from).toString(to);
  };
  return { ...tensor, data: tensor.data.map(text) };
}

function readBinary(datatype: Datatype, bytes: Buffer): FakeTensor["data"] {
  return datatype === "BYTES"
    ? decodeBytes(bytes).map((text) => text.toString("latin1"))
    : decodeBinary(datatype, bytes);
}

export function writeBinary({ datatype, data }: FakeTensor): Buffer {
  if (datatype !== "BYTES") return encodeBinary(datatype, data);
  return encodeBytes(data.map((text) => Buffer.from(String(text), "latin1")));
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > 64 * 1024 ** 2) throw new Refusal(413, "Too large");
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  const coding = request.headers["content-encoding"];
  try {
    if (coding === "gzip") return gunzipSync(body);
    return coding === "deflate" ? inflateSync(body) : body;
  } catch {
    throw new Refusal(400, `The body is not ${coding}`);
  }
}

export function object(value: unknown): Record<string, unknown> {
  if (!isRecord(value)) throw new Refusal(400, "An object was expected");
  return value;
}

export function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Refusal(400, "An array was expected");
  return value;
}

export function parameters(holder: Record<string, unknown>): Record<string, unknown> {
  const given = object(holder.parameters ?? {});
  if (Object.values(given).some((value) => typeof value === "object"))
    throw new Refusal(400, "A parameter is no scalar");
  return given;
}

/** Reads inputs one after the other from the JSON and the bytes behind it. */
export class InputReader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(value: unknown): FakeTensor {
    const { name, datatype, shape, data, ...rest } = object(value);
    if (typeof name !== "string" || !isDatatype(datatype))
      throw new Refusal(400, "An input has no name or datatype");
    const size = parameters(rest).binary_data_size;
    if (size !== undefined && data !== undefined) throw new Refusal(400, "data and binary_data_size");
    const known = { name, datatype, shape: list(shape) as number[] };
    if (size !== undefined) return { ...known, data: this.#take(known, Number(size)) };
    const values = list(data).flat(10) as FakeTensor["data"];
    const encoding = parameters(rest).content_type === "base64" ? "base64" : "utf8";
    return recoded({ ...known, data: values }, encoding, "latin1");
  }

  #take(tensor: Omit<FakeTensor, "data">, size: number): FakeTensor["data"] {
    const bytes = this.#bytes.subarray(this.#offset, this.#offset + size);
    this.#offset += size;
    const data = readBinary(tensor.datatype, bytes);
    if (writeBinary({ ...tensor, data }).length !== size) throw new Refusal(400, "binary_data_size");
    return data;
  }

  get rest(): number {
    return this.#bytes.length - this.#offset;
  }
}

export function checkRagged(value: unknown): void {
  const { shape, data } = object(value);
  if (!Array.isArray(data) || !Array.isArray(data[0])) return;
  if (data.some((row) => !Array.isArray(row) || row.length !== list(shape)[1]))
    throw new Refusal(400, "Ragged data");
}
