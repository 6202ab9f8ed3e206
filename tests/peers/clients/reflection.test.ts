import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Capstan, startCapstan } from "./capstan.ts";
import { ReflectionClient } from "./reflection.ts";

const INFERENCE = "inference.GRPCInferenceService";

let capstan: Capstan;
beforeAll(async () => {
  capstan = await startCapstan();
});
afterAll(() => capstan?.[Symbol.asyncDispose]());

describe.each(["v1", "v1alpha"])("a client that has only reflection %s", (version) => {
  const connect = () => new ReflectionClient(capstan.grpc, version);

  it("finds the services, and can describe each of them", async () => {
    using client = connect();
    const services = await client.services();
    const standard = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
    expect(services).toEqual(expect.arrayContaining([...standard, INFERENCE]));
    for (const service of services) expect((await client.describe(service)).methodsArray).not.toEqual([]);
  });

  it("asks whether the server lives and is ready", async () => {
    using client = connect();
    const inference = await client.describe(INFERENCE);
    expect(await client.call(inference, "ServerLive", {})).toEqual({ live: true });
    expect(await client.call(inference, "ServerReady", {})).toEqual({ ready: true });
    const health = await client.describe("grpc.health.v1.Health");
    expect(await client.call(health, "Check", {})).toEqual({ status: "SERVING" });
  });

  it("reads a model's metadata, infers by it, and gets its name, version and tensors back", async () => {
    using client = connect();
    const inference = await client.describe(INFERENCE);
    const metadata = await client.call(inference, "ModelMetadata", { name: "iris" });
    expect(metadata).toMatchObject({ name: "iris", versions: ["1"], platform: "onnxruntime_onnx" });
    const [input] = metadata.inputs as { name: string; datatype: string; shape: string[] }[];
    expect(input).toMatchObject({ name: "X", datatype: "FP32", shape: ["-1", "4"] });
    const contents = { fp32_contents: [6.3, 3.4, 5.6, 2.4], fp32Contents: [6.3, 3.4, 5.6, 2.4] };
    const inputs = [{ name: input!.name, datatype: input!.datatype, shape: [1, 4], contents }];
    const request = { model_name: "iris", modelName: "iris", id: "7", inputs };
    const answer = await client.call(inference, "ModelInfer", request);
    const label = (answer.outputs as { name: string }[]).find(({ name }) => name === "label");
    expect([answer.modelName ?? answer.model_name, answer.id]).toEqual(["iris", "7"]);
    expect(label).toMatchObject({ datatype: "INT64", shape: ["1"] });
    expect(JSON.stringify(label)).toMatch(/"int64_?[cC]ontents":\["2"\]/);
  });

  it("is told the code and the reason of a fault", async () => {
    using client = connect();
    const inference = await client.describe(INFERENCE);
    const asked = client.call(inference, "ModelMetadata", { name: "nobody" });
    await expect(asked).rejects.toMatchObject({ code: 5, details: "Model 'nobody' is not found" });
  });

  it("gets an answer to each question of one stream, errors among them", async () => {
    using client = connect();
    const answers = await client.ask(
      { file_containing_symbol: "nobody.Knows" },
      { file_containing_symbol: `${INFERENCE}.ModelInfer` },
      { file_containing_symbol: "inference.ModelInferRequest.InferInputTensor" },
      { file_by_filename: "nobody.proto" },
    );
    expect(answers[0]!.failure).toMatchObject({ code: 5, message: expect.stringContaining("nobody.Knows") });
    expect(answers[1]!.files?.file).toHaveLength(1);
    expect(answers[2]).toEqual(answers[1]);
    expect(answers[3]!.failure?.code).toBe(5);
  });
});
