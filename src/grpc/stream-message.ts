import protobuf from "protobufjs/minimal.js";
import { inference } from "./generated/inference.js";
import { decode } from "./wire.ts";

/** What one message of ModelStreamInfer says. */
export interface StreamMessage {
  readonly errorMessage: string;
  readonly inferResponse: inference.ModelInferResponse | null;
}

const LAST_FIELD_OF_WRAPPER = 2;

/**
 * Reads both forms of the stream: Triton's `ModelStreamInferResponse`, which is the protocol's, and the bare
 * `ModelInferResponse` that MLServer sends. Each field of the first has another meaning in the second (an
 * error message would be the model's name), so they are told apart by the fields only the second has.
 */
export function readStreamMessage(bytes: Buffer): StreamMessage {
  if (!isBare(bytes)) return decode(inference.ModelStreamInferResponse, bytes);
  return { errorMessage: "", inferResponse: decode(inference.ModelInferResponse, bytes) };
}

function isBare(bytes: Buffer): boolean {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 > LAST_FIELD_OF_WRAPPER) return true;
    reader.skipType(tag & 7);
  }
  return false;
}
