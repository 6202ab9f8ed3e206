/** Requests and answers of the binary tensor extension. */
import type { Datatype } from "../contracts/index.ts";
import { decodeBinary, encodeBinary } from "./binary.ts";
import { expect, expectEqual } from "./expect.ts";
import { expectOk, type Reply } from "./http-client.ts";
import { parseJson, stringifyJson } from "./json.ts";
import { type JsonOutput, type JsonTensor, outputsOf, type Value } from "./samples.ts";
import { inferPath, type Session } from "./session.ts";
import { extension } from "./sources.ts";

/** The header with the length of the JSON part. */
export const BINARY_HEADER = "inference-header-content-length";

export const BINARY_SOURCE = extension("binary_data", "Binary Tensor Data Extension");

/** Request members that ask for every output in binary. */
export const BINARY_OUTPUT = { parameters: { binary_data_output: true } };

/** A tensor as JSON header and bytes. */
export function binaryTensor({ name, shape, datatype, data }: JsonTensor): { json: object; bytes: Buffer } {
  const bytes = encodeBinary(datatype, data);
  return { json: { name, shape, datatype, parameters: { binary_data_size: bytes.length } }, bytes };
}

/** JSON, then the bytes of each tensor. */
export interface BinaryRequest {
  readonly json: object;
  readonly bytes: readonly Buffer[];
  /** Instead of the JSON's real length. */
  readonly headerLength?: string;
}

/** All inputs in binary. */
export function binaryRequest(inputs: readonly JsonTensor[], extra: object = {}): BinaryRequest {
  const tensors = inputs.map(binaryTensor);
  return {
    json: { inputs: tensors.map(({ json }) => json), ...extra },
    bytes: tensors.map(({ bytes }) => bytes),
  };
}

export function bodyOf({ json, bytes, headerLength }: BinaryRequest): {
  body: Buffer;
  headers: Record<string, string>;
} {
  const head = Buffer.from(stringifyJson(json));
  return {
    body: Buffer.concat([head, ...bytes]),
    headers: {
      "content-type": "application/octet-stream",
      [BINARY_HEADER]: headerLength ?? String(head.length),
    },
  };
}

export function sendBinary(session: Session, model: string, request: BinaryRequest): Promise<Reply> {
  return session.http.send("POST", inferPath(model), bodyOf(request));
}

/** What a reply says, JSON and binary outputs decoded alike. */
export interface BinaryAnswer {
  readonly outputs: readonly JsonOutput[];
  /** Names of the outputs that came in binary. */
  readonly binary: readonly string[];
}

/** @throws CheckFailure unless the reply is 200 and keeps to the extension. */
export function binaryAnswer(reply: Reply): BinaryAnswer {
  expectOk(reply, "infer");
  const header = reply.headers[BINARY_HEADER];
  const length = header === undefined ? reply.body.length : Number(header);
  expect(
    length <= reply.body.length,
    `${BINARY_HEADER} is ${header}, the body has ${reply.body.length} bytes`,
  );
  const outputs = outputsOf(parseJson(reply.body.subarray(0, length).toString("utf8")));
  let offset = length;
  const decoded = outputs.map((output) => {
    const size = output.parameters.binary_data_size;
    if (size === undefined) return output;
    const bytes = reply.body.subarray(offset, offset + Number(size));
    offset += Number(size);
    return { ...output, data: decodeBinary(output.datatype as Datatype, bytes) };
  });
  expectEqual(reply.body.length - offset, 0, "bytes left over after the outputs");
  const isBinary = (output: JsonOutput): boolean => output.parameters.binary_data_size !== undefined;
  return { outputs: decoded, binary: outputs.filter(isBinary).map(({ name }) => name) };
}

/** Elements of an output, decoded. */
export function valuesOf(answer: BinaryAnswer, name: string): Value[] {
  const output = answer.outputs.find((one) => one.name === name);
  expect(output, `the response has no output '${name}'`);
  return [output.data].flat(Number.POSITIVE_INFINITY) as Value[];
}
