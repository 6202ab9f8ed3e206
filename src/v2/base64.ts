import { invalid, type Parameters, type Tensor, textOf } from "../contracts/index.ts";
import { shown } from "./messages.ts";

/** Together with a length in fours. Groups of four in the expression would overflow its stack on long text. */
const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * A BYTES tensor whose elements are the bytes that the text of `tensor` stands for. It no longer says base64,
 * so that nobody decodes it again.
 * @throws CapstanError INVALID_ARGUMENT
 */
export function fromBase64(tensor: Tensor): Tensor {
  const data = textElements(tensor).map((text, index) => {
    if (text.length % 4 === 0 && ALPHABET.test(text)) return Buffer.from(text, "base64");
    throw invalid(`Input '${tensor.name}': element ${index} is ${shown(text)}, which is not base64`);
  });
  return { ...tensor, data, parameters: withoutContentType(tensor.parameters) };
}

/** A BYTES tensor as base64 text that says so. */
export function toBase64(tensor: Tensor): Tensor {
  const data = (tensor.data as Uint8Array[]).map((bytes) =>
    Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")),
  );
  return { ...tensor, data, parameters: { ...tensor.parameters, content_type: "base64" } };
}

export function withoutContentType(parameters: Parameters = {}): Parameters {
  const { content_type: _, ...others } = parameters;
  return others;
}

/** @throws CapstanError INVALID_ARGUMENT */
export function textElements(tensor: Tensor): string[] {
  try {
    return textOf(tensor.data as Uint8Array[]);
  } catch (cause) {
    throw invalid(`Input '${tensor.name}': has an element that is not UTF-8 text`, { cause });
  }
}
