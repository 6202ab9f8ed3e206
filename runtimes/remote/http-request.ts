import type { InferRequest, Parameters } from "../../src/contracts/index.ts";
import { writeTensorData } from "../../src/v2/binary.ts";
import { writeElements, writeTensorHead } from "../../src/v2/json-tensors.ts";
import { JsonWriter } from "../../src/v2/writer.ts";

export interface HttpBody {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** The body of an infer request: JSON alone, or with all tensors behind it (binary tensor extension). */
export function encodeRequest(request: InferRequest, binary: boolean): HttpBody {
  return binary ? encodeBinary(request) : encodeJson(request);
}

function encodeJson(request: InferRequest): HttpBody {
  const { binary_data_output: _, ...parameters } = request.parameters;
  const body = encode(request, parameters, (writer, index) => writeElements(writer, request.inputs[index]!));
  return { headers: { "content-type": "application/json" }, body };
}

function encodeBinary(request: InferRequest): HttpBody {
  const tails = request.inputs.map(writeTensorData);
  const parameters = { ...request.parameters, binary_data_output: true };
  const head = encode(request, parameters, (writer, index) => {
    const tensor = request.inputs[index]!;
    const size = { binary_data_size: tails[index]!.byteLength };
    writeTensorHead(writer, tensor, { ...tensor.parameters, ...size });
    writer.ascii("}");
  });
  const headers = {
    "content-type": "application/octet-stream",
    "inference-header-content-length": String(head.length),
  };
  return { headers, body: Buffer.concat([head, ...tails]) };
}

function encode(
  { id, inputs, outputs }: InferRequest,
  parameters: Parameters,
  writeInput: (writer: JsonWriter, index: number) => void,
): Buffer {
  const writer = new JsonWriter();
  writer.ascii("{");
  if (id !== undefined) writer.text(`"id":${JSON.stringify(id)},`);
  if (Object.keys(parameters).length > 0) {
    writer.ascii('"parameters":');
    writer.parameters(parameters);
    writer.ascii(",");
  }
  writer.ascii('"inputs":[');
  for (let index = 0; index < inputs.length; index += 1) {
    if (index > 0) writer.ascii(",");
    writeInput(writer, index);
  }
  writer.ascii("]");
  if (outputs !== undefined) writeOutputs(writer, outputs);
  writer.ascii("}");
  return writer.finish();
}

/** How an output comes, as binary or not, is between this server and the other one. */
function writeOutputs(writer: JsonWriter, outputs: NonNullable<InferRequest["outputs"]>): void {
  writer.ascii(',"outputs":[');
  for (const [index, { name, parameters }] of outputs.entries()) {
    const { binary_data: _, ...others } = parameters ?? {};
    writer.text(`${index > 0 ? "," : ""}{"name":${JSON.stringify(name)},"parameters":`);
    writer.parameters(others);
    writer.ascii("}");
  }
  writer.ascii("]");
}
