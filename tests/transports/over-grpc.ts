import { contentValues, encodeBinary, typedContents } from "../../src/conformance/binary.ts";
import type { JsonTensor } from "../../src/conformance/samples.ts";
import type { Datatype } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import type { Reply, TestClient } from "../support/grpc.ts";
import type { Answer, Ask, Refusal } from "./asks.ts";
import { bytesOf, seenRaw, type TestTensor } from "./tensors.ts";

export async function overGrpc(client: TestClient, ask: Ask, raw: boolean): Promise<Answer | Refusal> {
  const reply = await client.unary(service.ModelInfer, grpcMessage(ask, raw), { headers: ask.headers });
  return readGrpc(reply);
}

export async function overStream(client: TestClient, ask: Ask): Promise<Answer | string> {
  const { messages } = await client.stream(service.ModelStreamInfer, [grpcMessage(ask, true)], {
    headers: ask.headers,
  });
  const [{ errorMessage, inferResponse }] = messages as [inference.ModelStreamInferResponse];
  return errorMessage || grpcAnswer(inferResponse!);
}

function grpcMessage(ask: Ask, raw: boolean): inference.ModelInferRequest.Init {
  return {
    modelName: ask.model,
    modelVersion: ask.version,
    id: ask.id,
    parameters: Object.fromEntries(Object.entries(ask.parameters ?? {}).map(grpcParameter)),
    inputs: ask.inputs.map((input) => ({
      name: input.name,
      datatype: input.datatype,
      shape: [...input.shape],
      contents: raw ? null : contentsOf(input),
    })),
    outputs: ask.outputs?.map((name) => ({ name })),
    rawInputContents: raw ? ask.inputs.map(({ datatype, data }) => bytesOf(datatype, data)) : [],
  };
}

function grpcParameter([name, value]: [string, string | number | boolean]) {
  if (typeof value === "number") return [name, { int64Param: value }];
  return [name, typeof value === "string" ? { stringParam: value } : { boolParam: value }];
}

function contentsOf({ datatype, data, ...rest }: TestTensor): inference.InferTensorContents.Init {
  if (datatype === "BYTES") return { bytesContents: data as Buffer[] };
  return typedContents({ ...rest, datatype, data } as JsonTensor) ?? {};
}

function readGrpc(reply: Reply<inference.ModelInferResponse>): Answer | Refusal {
  const { code, details, response, metadata } = reply;
  if (code === 0) return grpcAnswer(response);
  return { number: code, message: details, retry: metadata["grpc-retry-pushback-ms"] as string | undefined };
}

function grpcAnswer(response: inference.ModelInferResponse): Answer {
  const outputs = response.outputs.map((output, index) =>
    seenRaw(output, response.rawOutputContents[index] ?? contentBytes(output)),
  );
  const { modelName: model, modelVersion: version, id } = response;
  return { model, version, id: id || undefined, outputs };
}

function contentBytes({ datatype, contents }: inference.ModelInferResponse.InferOutputTensor): Buffer {
  if (contents === null) return Buffer.alloc(0);
  if (datatype === "BYTES")
    return bytesOf(
      "BYTES",
      contents.bytesContents.map((each) => Buffer.from(each)),
    );
  return encodeBinary(datatype as Datatype, contentValues(contents));
}
