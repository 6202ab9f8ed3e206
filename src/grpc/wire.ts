/**
 * How the generated messages read and write the wire: 64-bit integers are bigint (exact, and what
 * BigInt64Array takes), fields that are not in the proto file are dropped instead of kept, and the
 * rest is protobufjs. The generated code accepts any reader or writer, so nothing in it is changed.
 */
import protobuf from "protobufjs/minimal.js";

/** The static side of a generated message class. `Init` is what may be sent, `Decoded` what arrives. */
export interface MessageCodec<Init, Decoded extends Init> {
  encode(message: Init, writer?: protobuf.Writer): protobuf.Writer;
  decode(reader: protobuf.Reader | Uint8Array, length?: number): Decoded;
}

/** One RPC, in the form `@grpc/grpc-js` takes for servers and for clients. */
export interface Method<
  RequestInit,
  Request extends RequestInit,
  ResponseInit,
  Response extends ResponseInit,
> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  requestSerialize(message: RequestInit): Buffer;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(message: ResponseInit): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

/** Which sides of a method are streams. */
export interface Streaming {
  readonly requestStream?: boolean;
  readonly responseStream?: boolean;
}

const LOW_28_BITS = 2 ** 28;
const LARGEST_SAFE_HIGH = 2 ** 25;

/** The next varint as two's complement 64 bits: most are small, so bigint arithmetic is the exception. */
function readVarint64(reader: protobuf.Reader, signed: boolean): bigint {
  const first = reader.buf[reader.pos] ?? 128;
  if (first < 128) {
    reader.pos += 1;
    return BigInt(first);
  }
  const low = readGroup(reader, 4);
  const middle = low.more ? readGroup(reader, 4) : NOTHING;
  if (!middle.more && middle.value < LARGEST_SAFE_HIGH) return BigInt(middle.value * LOW_28_BITS + low.value);
  const high = middle.more ? readGroup(reader, 2) : NOTHING;
  if (high.more) throw new Error("A 64-bit integer is longer than 10 bytes");
  const bits = (BigInt(high.value) << 56n) | (BigInt(middle.value) << 28n) | BigInt(low.value);
  return signed ? BigInt.asIntN(64, bits) : BigInt.asUintN(64, bits);
}

const NOTHING = { value: 0, more: false };

/** Up to `bytes` bytes of a varint, seven bits each; `more` when the last one says it continues. */
function readGroup(reader: protobuf.Reader, bytes: number): { value: number; more: boolean } {
  let value = 0;
  for (let index = 0; index < bytes; index += 1) {
    if (reader.pos >= reader.len) throw new RangeError("A 64-bit integer is cut off");
    const byte = reader.buf[reader.pos] ?? 0;
    reader.pos += 1;
    value += (byte & 127) * 2 ** (7 * index);
    if (byte < 128) return { value, more: false };
  }
  return { value, more: true };
}

/** protobufjs writes numbers and Long; a bigint goes as the first where that is exact. */
function writable(value: bigint | number): number | { low: number; high: number; unsigned: boolean } {
  if (typeof value === "number") return value;
  const small = Number(value);
  if (Number.isSafeInteger(small)) return small;
  const low = Number(BigInt.asIntN(32, value));
  return { low, high: Number(BigInt.asIntN(32, value >> 32n)), unsigned: value >= 0n };
}

class WireReader extends protobuf.BufferReader {}
class WireWriter extends protobuf.BufferWriter {}

// Assigned, not declared: protobufjs types these as Long, which the generated declarations replace.
Object.assign(WireReader.prototype, {
  discardUnknown: true,
  int64(this: protobuf.Reader) {
    return readVarint64(this, true);
  },
  uint64(this: protobuf.Reader) {
    return readVarint64(this, false);
  },
});

const base = protobuf.Writer.prototype;

function writeOne(this: protobuf.Writer, value: bigint | number): protobuf.Writer {
  return base.uint64.call(this, writable(value) as number);
}

function writeAll(this: protobuf.Writer, values: ArrayLike<bigint | number>): protobuf.Writer {
  const all = Array.from(values, writable) as number[];
  return base.uint64s.call(this, all);
}

Object.assign(WireWriter.prototype, {
  int64: writeOne,
  uint64: writeOne,
  int64s: writeAll,
  uint64s: writeAll,
});

/** The bytes of a message. */
export function encode<Init, Decoded extends Init>(
  codec: MessageCodec<Init, Decoded>,
  message: Init,
): Buffer {
  return codec.encode(message, new WireWriter()).finish() as Buffer;
}

/**
 * A message from its bytes. `bytes` fields are views of `buffer`, at any offset.
 * @throws Error where the bytes are not such a message.
 */
export function decode<Init, Decoded extends Init>(
  codec: MessageCodec<Init, Decoded>,
  buffer: Buffer,
): Decoded {
  return codec.decode(new WireReader(buffer));
}

/** One RPC from its path and messages; used by the generated services. */
export function method<QI, Q extends QI, AI, A extends AI>(
  path: string,
  request: MessageCodec<QI, Q>,
  response: MessageCodec<AI, A>,
  streaming: Streaming = {},
): Method<QI, Q, AI, A> {
  return {
    path,
    requestStream: streaming.requestStream ?? false,
    responseStream: streaming.responseStream ?? false,
    requestSerialize: (message) => encode(request, message),
    requestDeserialize: (bytes) => decode(request, bytes),
    responseSerialize: (message) => encode(response, message),
    responseDeserialize: (bytes) => decode(response, bytes),
  };
}
