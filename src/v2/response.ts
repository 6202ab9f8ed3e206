import type { InferRequest, Parameters, RequestedOutput, Tensor } from "../contracts/index.ts";
import { writeTensorData } from "./binary.ts";
import { finder } from "./by-name.ts";
import { withoutBinaryFlags, writeElements, writeTensorHead } from "./json-tensors.ts";
import { JsonWriter } from "./writer.ts";

export interface EncodableResponse {
  readonly modelName: string;
  readonly modelVersion: string;
  readonly id?: string | undefined;
  readonly parameters?: Parameters | undefined;
  readonly outputs: readonly Tensor[];
}

export interface EncodedResponse {
  readonly contentType: string;
  /** Bytes of JSON in front of the binary tensors; absent when there are none. */
  readonly headerLength?: number;
  readonly body: Uint8Array;
}

/** An inference response as HTTP body: JSON, or JSON with the binary outputs that the request asked for. */
export function encodeInferResponse(response: EncodableResponse, request: InferRequest): EncodedResponse {
  const binary = wantsBinary(response.outputs, request);
  const writer = new JsonWriter();
  const tails: Uint8Array[] = [];
  writeOpening(writer, response);
  for (let i = 0; i < response.outputs.length; i++) {
    if (i > 0) writer.ascii(",");
    writeOutput(writer, response.outputs[i]!, binary[i]!, tails);
  }
  writer.ascii("]}");
  const json = writer.finish();
  if (!binary.includes(true)) return { contentType: "application/json", body: json };
  return {
    contentType: "application/octet-stream",
    headerLength: json.length,
    body: Buffer.concat([json, ...tails]),
  };
}

/** `binary_data` of an output is stronger than `binary_data_output` of the request. */
function wantsBinary(outputs: readonly Tensor[], request: InferRequest): boolean[] {
  const all = request.parameters.binary_data_output === true;
  const askedOf = finder<RequestedOutput>(request.outputs ?? []);
  return outputs.map(({ name }) => {
    const asked = askedOf(name)?.parameters?.binary_data;
    return typeof asked === "boolean" ? asked : all;
  });
}

function writeOpening(
  writer: JsonWriter,
  { modelName, modelVersion, id, parameters }: EncodableResponse,
): void {
  writer.ascii('{"model_name":');
  writer.string(modelName);
  writer.ascii(',"model_version":');
  writer.string(modelVersion);
  if (id !== undefined) {
    writer.ascii(',"id":');
    writer.string(id);
  }
  writer.parametersField(withoutBinaryFlags(parameters));
  writer.ascii(',"outputs":[');
}

function writeOutput(writer: JsonWriter, output: Tensor, binary: boolean, tails: Uint8Array[]): void {
  if (!binary) {
    writeElements(writer, output);
    return;
  }
  const bytes = writeTensorData(output);
  tails.push(bytes);
  writeTensorHead(writer, output, {
    ...withoutBinaryFlags(output.parameters),
    binary_data_size: bytes.length,
  });
  writer.ascii("}");
}
