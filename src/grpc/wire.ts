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

/** One 64-bit integer on its way between two halves and a bigint: faster than bigint arithmetic. */
const scratch = new DataView(new ArrayBuffer(8));

/** The next byte of a varint: seven bits, and one that says whether more follow. */
function nextByte(reader: protobuf.Reader): number {
  const byte = reader.buf[reader.pos];
  if (byte === undefined || reader.pos >= reader.len) throw new RangeError("A 64-bit integer is cut off");
  reader.pos += 1;
  return byte;
}

/** The bits above the first 28, where there are any: 28 to 55 and 56 to 63. */
function readUpperBits(reader: protobuf.Reader, low: number): void {
  let [middle, high, byte] = [0, 0, 128];
  for (let shift = 0; shift < 28 && byte > 127; shift += 7) {
    byte = nextByte(reader);
    middle |= (byte & 127) << shift;
  }
  for (let shift = 0; shift < 14 && byte > 127; shift += 7) {
    byte = nextByte(reader);
    high |= (byte & 127) << shift;
  }
  if (byte > 127) throw new Error("A 64-bit integer is longer than 10 bytes");
  scratch.setInt32(0, low | (middle << 28), true);
  scratch.setInt32(4, (middle >>> 4) | (high << 24), true);
}

function readVarint64(reader: protobuf.Reader, signed: boolean): bigint {
  let low = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = nextByte(reader);
    low |= (byte & 127) << shift;
    if (byte < 128) return BigInt(low);
  }
  readUpperBits(reader, low);
  return signed ? scratch.getBigInt64(0, true) : scratch.getBigUint64(0, true);
}

/** protobufjs writes numbers and Long; a bigint goes as the first where that is exact. */
function writable(value: bigint | number): number | { low: number; high: number; unsigned: boolean } {
  if (typeof value === "number") return value;
  const small = Number(value);
  if (Number.isSafeInteger(small)) return small;
  scratch.setBigInt64(0, value, true);
  return { low: scratch.getInt32(0, true), high: scratch.getInt32(4, true), unsigned: value >= 0n };
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
