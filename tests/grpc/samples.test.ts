import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isDatatype, type Tensor } from "../../src/contracts/index.ts";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { readInferRequest } from "../../src/grpc/infer-request.ts";
import { writeTypedContents } from "../../src/grpc/typed-contents.ts";
import { decode, encode } from "../../src/grpc/wire.ts";
import { decodeJsonRequest, writeTensorData } from "../../src/v2/index.ts";
import { codeName, TestClient } from "../support/grpc.ts";
import { SAMPLES, serve, type TestServer } from "../support/server.ts";

/** The sample models with their reference inputs, on the real host. */
const samples = ["iris", "churn", "digits"].flatMap((model) => {
  const file = JSON.parse(readFileSync(join(SAMPLES, model, "cases.json"), "utf8"));
  return (file.cases as { name: string; inputs: unknown[] }[]).map(({ name, inputs }) => ({
    model,
    name,
    inputs,
  }));
});

let host: TestServer;
let client: TestClient;
beforeAll(async () => {
  host = await serve(SAMPLES);
  client = new TestClient(`127.0.0.1:${host.running.grpc.port}`);
});
afterAll(async () => {
  client.close();
  await host[Symbol.asyncDispose]();
});

function messageOf(tensors: readonly Tensor[], raw: boolean) {
  return {
    inputs: tensors.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      contents: raw ? undefined : writeTypedContents(datatype, data),
    })),
    rawInputContents: raw ? tensors.map(writeTensorData) : [],
  };
}

/** Outputs as tensors, from either form. */
function outputsOf({ outputs, rawOutputContents }: inference.ModelInferResponse): unknown[] {
  const message = { inputs: outputs, rawInputContents: rawOutputContents };
  const asRequest = decode(inference.ModelInferRequest, encode(inference.ModelInferRequest, message));
  return readInferRequest(asRequest).inputs.map(({ name, datatype, shape, data }) => {
    expect(isDatatype(datatype)).toBe(true);
    return { name, datatype, shape, bytes: Buffer.from(writeTensorData({ datatype, data })) };
  });
}

describe("the sample models answer the same", () => {
  test.each(samples)("$model: $name, raw, typed, on a stream, and over HTTP", async ({ model, inputs }) => {
    const tensors = decodeJsonRequest(Buffer.from(JSON.stringify({ inputs }))).inputs;
    const ask = async (raw: boolean) => {
      const reply = await client.unary(service.ModelInfer, {
        modelName: model,
        ...messageOf(tensors, raw),
      });
      expect([codeName(reply.code), reply.details]).toEqual(["OK", "OK"]);
      expect(reply.response.modelVersion).not.toBe("");
      return outputsOf(reply.response);
    };
    const raw = await ask(true);
    expect(await ask(false)).toEqual(raw);
    const { messages } = await client.stream(service.ModelStreamInfer, [
      { modelName: model, ...messageOf(tensors, true) },
    ]);
    expect(messages.map(({ inferResponse }) => outputsOf(inferResponse!))).toEqual([raw]);
    const { body } = await host.post(`/v2/models/${model}/infer`, { inputs });
    const overHttp = decodeJsonRequest(
      Buffer.from(JSON.stringify({ inputs: (body as { outputs: unknown[] }).outputs })),
    );
    expect(overHttp.inputs.map((tensor) => Buffer.from(writeTensorData(tensor)))).toEqual(
      raw.map((output) => (output as { bytes: Buffer }).bytes),
    );
  });

  test("only the outputs asked for, in that order; what does not fit the model is refused", async () => {
    const inputs = [
      { name: "X", datatype: "FP32", shape: [1, 4], contents: { fp32Contents: [6.3, 3.4, 5.6, 2.4] } },
    ];
    const request = { modelName: "iris", inputs };
    const names = (await client.unary(service.ModelInfer, request)).response.outputs.map(({ name }) => name);
    const reversed = names.toReversed().map((name) => ({ name }));
    const { response } = await client.unary(service.ModelInfer, { ...request, outputs: reversed });
    expect(response.outputs.map(({ name }) => name)).toEqual(names.toReversed());
    const refused = await client.unary(service.ModelInfer, {
      ...request,
      outputs: [{ name: "nothing" }],
    });
    expect([codeName(refused.code), refused.details]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("nothing"),
    ]);
  });

  test("metadata, configuration and statistics of a real model", async () => {
    const { response } = await client.unary(service.ModelMetadata, { name: "iris" });
    expect(response.inputs).toMatchObject([{ name: "X", datatype: "FP32", shape: [-1n, 4n] }]);
    const config = (await client.unary(service.ModelConfig, { name: "iris" })).response.config;
    expect(config).toMatchObject({ name: "iris", backend: "onnx", input: [{ name: "X", dims: [-1n, 4n] }] });
    const stats = (await client.unary(service.ModelStatistics, { name: "iris" })).response.modelStats[0];
    expect(stats?.inferenceStats?.success?.count).toBeGreaterThan(0n);
  });
});
