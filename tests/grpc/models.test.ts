import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CapstanError } from "../../src/contracts/index.ts";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { codeName, fp32, IDENTITY, serveGrpc, type TestGrpc } from "../support/grpc.ts";

const { DataType } = inference;
const failing = (error: unknown) => ({ ...IDENTITY, infer: () => Promise.reject(error) });

let server: TestGrpc;
beforeAll(async () => {
  server = await serveGrpc({
    identity: {
      ...IDENTITY,
      inputs: [{ name: "x", datatype: "FP32", shape: [-1] }],
      outputs: [{ name: "y", datatype: "BYTES", shape: [2, 2] }],
    },
    sleeping: { ...IDENTITY, ready: () => false },
    broken: failing(new Error("secret detail in /some/file")),
    busy: failing(new CapstanError("QUEUE_FULL", "The queue of 'busy' is full", { retryAfterMs: 1500 })),
    wordy: failing(new CapstanError("INVALID_ARGUMENT", `half a pair \ud83d ${"long ".repeat(1000)}`)),
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const infer = (modelName: string, headers?: Record<string, string>) =>
  server.client.unary(service.ModelInfer, { modelName, inputs: [fp32([1, 2])] }, { headers });

describe("the server and its models", () => {
  test("live, ready and metadata", async () => {
    expect((await server.client.unary(service.ServerLive, {})).response.live).toBe(true);
    expect((await server.client.unary(service.ServerReady, {})).response.ready).toBe(true);
    const { response } = await server.client.unary(service.ServerMetadata, {});
    expect(response).toMatchObject({ name: "capstan", version: "1.2.3", extensions: ["statistics"] });
  });

  test("a model is ready, not ready, or unknown and so not ready", async () => {
    const ready = async (name: string, version = "") => {
      const { code, response } = await server.client.unary(service.ModelReady, { name, version });
      return [codeName(code), response.ready];
    };
    expect(await ready("identity")).toEqual(["OK", true]);
    expect(await ready("sleeping")).toEqual(["OK", false]);
    expect(await ready("nobody")).toEqual(["OK", false]);
    expect(await ready("identity", "9")).toEqual(["OK", false]);
  });

  test("metadata of a model names its tensors", async () => {
    const { response } = await server.client.unary(service.ModelMetadata, { name: "identity" });
    expect(response).toMatchObject({
      name: "identity",
      versions: ["1"],
      platform: "fake",
      inputs: [{ name: "x", datatype: "FP32", shape: [-1n] }],
      outputs: [{ name: "y", datatype: "BYTES", shape: [2n, 2n] }],
    });
  });

  test("the configuration in Triton's words", async () => {
    const { response } = await server.client.unary(service.ModelConfig, { name: "identity", version: "1" });
    expect(response.config).toMatchObject({
      name: "identity",
      backend: "./fake.ts",
      maxBatchSize: 4,
      versionPolicy: { specific: { versions: [7n] } },
      input: [{ name: "x", dataType: DataType.TYPE_FP32, dims: [-1n, 4n], optional: true }],
      output: [{ name: "y", dataType: DataType.TYPE_STRING, dims: [-1n] }],
      parameters: { uri: { stringValue: "./model.onnx" }, extra: { stringValue: '{"threads":2}' } },
    });
  });

  test("statistics of one model and of all", async () => {
    const { response } = await server.client.unary(service.ModelStatistics, { name: "identity" });
    expect(response.modelStats).toHaveLength(1);
    expect(response.modelStats[0]).toMatchObject({
      name: "identity",
      lastInference: 1_700_000_000_000n,
      inferenceCount: 5n,
      executionCount: 2n,
      inferenceStats: { success: { count: 2n, ns: 3000n }, fail: { count: 0n }, cacheMiss: { count: 0n } },
      batchStats: [{ batchSize: 2n, computeInfer: { count: 2n, ns: 3000n } }],
    });
    const all = await server.client.unary(service.ModelStatistics, {});
    expect(all.response.modelStats.map(({ name }) => name)).toContain("sleeping");
  });
});

describe("failures", () => {
  test.each([
    ["ModelMetadata", () => server.client.unary(service.ModelMetadata, { name: "nobody" })],
    ["ModelConfig", () => server.client.unary(service.ModelConfig, { name: "nobody" })],
    ["ModelStatistics", () => server.client.unary(service.ModelStatistics, { name: "nobody" })],
    ["ModelInfer", () => infer("nobody")],
  ] as const)("%s of an unknown model", async (_, ask) => {
    const { code, details } = await ask();
    expect([codeName(code), details]).toEqual(["NOT_FOUND", "There is no model 'nobody'"]);
  });

  test("a name that could leave the repository", async () => {
    const { code, details } = await infer("../secret");
    expect([codeName(code), details]).toEqual([
      "INVALID_ARGUMENT",
      expect.stringContaining("not a model name"),
    ]);
  });

  test("what breaks inside stays inside: the caller gets the id that finds it in the log", async () => {
    const { code, details } = await infer("broken", { "x-request-id": "look-here" });
    expect([codeName(code), details]).toEqual([
      "INTERNAL",
      "Internal error; the server's log has it under request id look-here",
    ]);
    const line = server.logged.find(({ level }) => level === "error");
    expect(line?.message).toBe("secret detail in /some/file");
    expect(line?.fields).toMatchObject({ request_id: "look-here", code: "INTERNAL" });
  });

  test("with debug the caller sees the message, and still no stack", async () => {
    await using open = await serveGrpc({ broken: failing(new Error("the detail")) }, { debug: true });
    const { details } = await open.client.unary(service.ModelInfer, { modelName: "broken" });
    expect(details).toBe("the detail");
  });

  test("a full queue says when to come back", async () => {
    const { code, metadata } = await infer("busy");
    expect([codeName(code), metadata["grpc-retry-pushback-ms"]]).toEqual(["RESOURCE_EXHAUSTED", "1500"]);
  });

  test("a message that gRPC could not carry is cut", async () => {
    const { code, details } = await infer("wordy");
    expect(codeName(code)).toBe("INVALID_ARGUMENT");
    expect(details).toMatch(/^half a pair \ufffd long /);
    expect(details.length).toBeLessThan(1000);
  });

  test.each([
    ["SystemSharedMemoryStatus", "raw_input_contents"],
    ["SystemSharedMemoryRegister", "raw_input_contents"],
    ["SystemSharedMemoryUnregister", "raw_input_contents"],
    ["CudaSharedMemoryStatus", "CUDA"],
    ["CudaSharedMemoryRegister", "CUDA"],
    ["CudaSharedMemoryUnregister", "CUDA"],
  ] as const)("%s is refused, saying what to use", async (name, hint) => {
    const { code, details } = await server.client.unary(service[name], {});
    expect([codeName(code), details]).toEqual(["UNIMPLEMENTED", expect.stringContaining(hint)]);
  });
});

describe("request ids", () => {
  test("a given one comes back, with answers and with errors", async () => {
    expect((await infer("identity", { "x-request-id": "mine-1" })).metadata["x-request-id"]).toBe("mine-1");
    expect((await infer("nobody", { "x-request-id": "mine-2" })).metadata["x-request-id"]).toBe("mine-2");
  });

  test("otherwise, and for one that cannot stand in a log, there is a new one", async () => {
    const uuid = /^[0-9a-f-]{36}$/;
    expect((await infer("identity")).metadata["x-request-id"]).toMatch(uuid);
    expect((await infer("identity", { "x-request-id": "a b" })).metadata["x-request-id"]).toMatch(uuid);
  });

  test("the id in the request is echoed", async () => {
    const { response } = await server.client.unary(service.ModelInfer, { modelName: "identity", id: "r1" });
    expect([response.id, response.modelName, response.modelVersion]).toEqual(["r1", "identity", "1"]);
  });
});
