import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FILES } from "../../src/grpc/generated/descriptors.ts";
import { grpc } from "../../src/grpc/generated/health.js";
import type { inference } from "../../src/grpc/generated/inference.js";
import {
  Health,
  ServerReflection,
  GRPCInferenceService as service,
} from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { codeName, ended, fp32, IDENTITY, serveGrpc, type TestGrpc } from "../support/grpc.ts";

let server: TestGrpc;
beforeAll(async () => {
  server = await serveGrpc();
});
afterAll(() => server[Symbol.asyncDispose]());

describe("repository", () => {
  test("the index, whole and of what is ready", async () => {
    const all = await server.client.unary(service.RepositoryIndex, {});
    expect(all.response.models).toMatchObject([
      { name: "identity", version: "1", state: "READY", reason: "" },
      { name: "broken", version: "1", state: "UNAVAILABLE", reason: "no such file" },
    ]);
    const ready = await server.client.unary(service.RepositoryIndex, { ready: true });
    expect(ready.response.models.map(({ name }) => name)).toEqual(["identity"]);
  });

  test("load, with and without a config, and unload", async () => {
    server.repository.calls.length = 0;
    const parameters = { config: { stringParam: '{"max_batch_size":8}' }, other: { boolParam: true } };
    await server.client.unary(service.RepositoryModelLoad, { modelName: "identity" });
    await server.client.unary(service.RepositoryModelLoad, { modelName: "identity", parameters });
    await server.client.unary(service.RepositoryModelUnload, { modelName: "identity" });
    expect(server.repository.calls).toEqual([
      ["load", "identity", undefined],
      ["load", "identity", '{"max_batch_size":8}'],
      ["unload", "identity"],
    ]);
  });

  test.each([
    [
      "a config that is no text",
      { config: { int64Param: 1 } },
      "INVALID_ARGUMENT",
      "'config' must be a string",
    ],
    [
      "a model in the request",
      { "file:1/model.onnx": { bytesParam: Buffer.of(1) } },
      "UNIMPLEMENTED",
      "file:1/model.onnx",
    ],
  ])("%s is refused", async (_, parameters, code, message) => {
    const reply = await server.client.unary(service.RepositoryModelLoad, {
      modelName: "identity",
      parameters,
    });
    expect([codeName(reply.code), reply.details]).toEqual([code, expect.stringContaining(message)]);
  });

  test("a name that leaves the repository is refused", async () => {
    const reply = await server.client.unary(service.RepositoryModelUnload, { modelName: "../x" });
    expect(codeName(reply.code)).toBe("INVALID_ARGUMENT");
  });
});

describe("who may change what is served", () => {
  const load = (headers: Record<string, string>, options = {}) =>
    server.connect(options).unary(service.RepositoryModelLoad, { modelName: "identity" }, { headers });

  test.each([
    ["a proxy", { "x-forwarded-for": "10.0.0.1" }, "a proxy speaks for somebody else"],
    ["a web page", { origin: "http://evil.example" }, "web page"],
  ])("not %s", async (_, headers, message) => {
    server.repository.calls.length = 0;
    const { code, details } = await load(headers);
    expect([codeName(code), details]).toEqual(["PERMISSION_DENIED", expect.stringContaining(message)]);
    expect(server.repository.calls).toEqual([]);
  });

  test("nobody under a name that merely resolves to loopback", async () => {
    const { code, details } = await load({}, { "grpc.default_authority": "rebound.example:8081" });
    expect([codeName(code), details]).toEqual([
      "PERMISSION_DENIED",
      expect.stringContaining("rebound.example"),
    ]);
  });
});

describe("log and trace settings", () => {
  type Sent = Record<string, inference.LogSettingsRequest.SettingValue.Init>;
  const log = async (settings: Sent, headers?: Record<string, string>) =>
    server.client.unary(service.LogSettings, { settings }, { headers });

  test("are reported in Triton's words, and follow the level", async () => {
    const { response } = await log({});
    expect(response.settings).toMatchObject({
      log_error: { boolParam: true },
      log_warning: { boolParam: true },
      log_info: { boolParam: true },
      log_verbose_level: { uint32Param: 0 },
      log_file: { stringParam: "" },
      log_format: { stringParam: "ISO8601" },
    });
  });

  test.each<[string, Sent]>([
    ["debug", { log_verbose_level: { uint32Param: 1 } }],
    ["info", { log_verbose_level: { uint32Param: 0 } }],
    ["warn", { log_info: { boolParam: false }, log_format: { stringParam: "ISO8601" } }],
    ["silent", { log_error: { boolParam: false }, log_warning: { boolParam: false } }],
    [
      "info",
      { log_error: { boolParam: true }, log_warning: { boolParam: true }, log_info: { boolParam: true } },
    ],
  ])("change the level to %s", async (level, settings) => {
    expect((await log(settings)).details).toBe("OK");
    expect(server.parts.logControl.level()).toBe(level);
  });

  test.each<[string, Sent, string, string]>([
    ["a level with a gap", { log_error: { boolParam: false } }, "INVALID_ARGUMENT", "'log_error' is off"],
    [
      "an unknown setting",
      { log_color: { boolParam: true } },
      "INVALID_ARGUMENT",
      "'log_color' is not a log setting",
    ],
    ["a wrong type", { log_info: { uint32Param: 1 } }, "INVALID_ARGUMENT", "'log_info' must be a boolean"],
    ["a log file", { log_file: { stringParam: "/tmp/x" } }, "UNIMPLEMENTED", "'log_file' cannot be changed"],
  ])("%s is refused", async (_, settings, code, message) => {
    const reply = await log(settings);
    expect([codeName(reply.code), reply.details]).toEqual([code, expect.stringContaining(message)]);
    expect(server.parts.logControl.level()).toBe("info");
  });

  test("only a local caller may change them", async () => {
    const away = { "x-real-ip": "10.0.0.1" };
    expect(codeName((await log({ log_info: { boolParam: false } }, away)).code)).toBe("PERMISSION_DENIED");
    expect(codeName((await log({}, away)).code)).toBe("OK");
  });

  test("tracing is off, and says so when somebody asks for it", async () => {
    const trace = (settings: Record<string, { value: string[] }>, modelName = "") =>
      server.client.unary(service.TraceSetting, { settings, modelName });
    expect((await trace({})).response.settings).toMatchObject({ trace_level: { value: ["OFF"] } });
    expect(codeName((await trace({ trace_level: { value: ["OFF"] } }, "identity")).code)).toBe("OK");
    const refused = await trace({ trace_rate: { value: ["10"] } });
    expect([codeName(refused.code), refused.details]).toEqual([
      "UNIMPLEMENTED",
      expect.stringContaining("'trace_rate'"),
    ]);
    expect(codeName((await trace({}, "nobody")).code)).toBe("NOT_FOUND");
  });
});

describe("health", () => {
  const { NOT_SERVING, SERVICE_UNKNOWN, SERVING } = grpc.health.v1.HealthCheckResponse.ServingStatus;
  const INFERENCE = "inference.GRPCInferenceService";

  test("Check and List follow the server's readiness", async () => {
    const check = async (name: string) =>
      (await server.client.unary(Health.Check, { service: name })).response.status;
    expect([await check(""), await check(INFERENCE)]).toEqual([SERVING, SERVING]);
    server.plane.isReady = false;
    expect([await check(""), await check(INFERENCE)]).toEqual([NOT_SERVING, NOT_SERVING]);
    const { response } = await server.client.unary(Health.List, {});
    expect(response.statuses).toMatchObject({
      "": { status: NOT_SERVING },
      [INFERENCE]: { status: NOT_SERVING },
    });
    server.plane.isReady = true;
    const unknown = await server.client.unary(Health.Check, { service: "nobody" });
    expect([codeName(unknown.code), unknown.details]).toEqual([
      "NOT_FOUND",
      expect.stringContaining(INFERENCE),
    ]);
  });

  test("Watch tells each change, and ends when the watcher leaves", async () => {
    const watch = (name: string) => {
      const call = server.client.raw.makeServerStreamRequest(
        Health.Watch.path,
        Health.Watch.requestSerialize,
        Health.Watch.responseDeserialize,
        { service: name },
      );
      const statuses: number[] = [];
      call.on("data", ({ status }: grpc.health.v1.HealthCheckResponse) => statuses.push(status));
      return { call, statuses, end: ended(call) };
    };
    const [known, unknown] = [watch(INFERENCE), watch("nobody")];
    await eventually(() => known.statuses.length === 1 && unknown.statuses.length === 1);
    server.plane.isReady = false;
    await eventually(() => known.statuses.length === 2);
    server.plane.isReady = true;
    await eventually(() => known.statuses.length === 3);
    expect(known.statuses).toEqual([SERVING, NOT_SERVING, SERVING]);
    expect(unknown.statuses).toEqual([SERVICE_UNKNOWN]);
    known.call.cancel();
    unknown.call.cancel();
    expect(codeName((await known.end).code)).toBe("CANCELLED");
  });
});

describe("reflection", () => {
  const { ServerReflectionInfo: v1 } = ServerReflection;
  const v1alpha = { ...v1, path: v1.path.replace("v1", "v1alpha") };

  test.each([v1, v1alpha])("lists services and gives the files that declare them ($path)", async (method) => {
    const { messages } = await server.client.stream(method, [
      { host: "h", listServices: "" },
      { fileContainingSymbol: "inference.ModelInferRequest.InferInputTensor" },
      { fileByFilename: "grpc/health/v1/health.proto" },
    ]);
    expect(messages[0]).toMatchObject({ validHost: "h", originalRequest: { listServices: "" } });
    expect(messages[0]?.listServicesResponse?.service.map(({ name }) => name)).toEqual([
      "grpc.health.v1.Health",
      "inference.GRPCInferenceService",
      "capstan.llm.v1.LLMService",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
    const files = messages
      .slice(1)
      .map(({ fileDescriptorResponse }) => fileDescriptorResponse?.fileDescriptorProto[0]);
    const expected = [FILES[1], FILES[0]].map(({ bytes }) => Buffer.from(bytes, "base64"));
    expect(files.map((file) => Buffer.from(file!))).toEqual(expected);
  });

  test("says what it does not know", async () => {
    const { code, messages } = await server.client.stream(v1, [
      { fileContainingSymbol: "no.Such" },
      { fileByFilename: "no.proto" },
      { allExtensionNumbersOfType: "inference.ModelInferRequest" },
      { fileContainingExtension: { containingType: "x", extensionNumber: 1 } },
      {},
    ]);
    expect(codeName(code)).toBe("OK");
    expect(messages.map(({ errorResponse }) => codeName(errorResponse!.errorCode))).toEqual([
      ...Array(4).fill("NOT_FOUND"),
      "UNIMPLEMENTED",
    ]);
  });

  test("bytes that are no question end the call with INVALID_ARGUMENT", async () => {
    const call = server.client.open(v1);
    const end = ended(call);
    call.resume();
    call.write(Buffer.of(0x0a, 0xff));
    expect(codeName((await end).code)).toBe("INVALID_ARGUMENT");
  });

  test("a questioner who leaves is no error of ours", async () => {
    const call = server.client.open(v1);
    const end = ended(call);
    call.once("data", () => call.cancel());
    call.write(v1.requestSerialize({ listServices: "" }));
    expect(codeName((await end).code)).toBe("CANCELLED");
    expect((await server.client.unary(service.ServerLive, {})).response.live).toBe(true);
    expect(server.logged.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("metrics", () => {
  test("count calls by method and status, and time them", async () => {
    const running = Promise.withResolvers<void>();
    const hanging = { ...IDENTITY, infer: () => new Promise<never>(() => running.resolve()) };
    await using measured = await serveGrpc(
      { identity: IDENTITY, hanging },
      { grpc_max_message_length: 2000 },
    );
    const infer = (modelName: string, size = 1) =>
      measured.client.unary(service.ModelInfer, { modelName, inputs: [fp32(Array(size).fill(0))] });
    await infer("identity");
    await infer("identity");
    await infer("nobody");
    await infer("identity", 1000);
    const call = measured.client.open(service.ModelStreamInfer);
    const end = ended(call);
    call.write(service.ModelStreamInfer.requestSerialize({ modelName: "hanging" }));
    await running.promise;
    call.cancel();
    await end;
    const text = () => measured.metrics.registry.metrics();
    const unary = 'grpc_type="UNARY",grpc_service="inference.GRPCInferenceService",grpc_method="ModelInfer"';
    const stream =
      'grpc_type="BIDI_STREAM",grpc_service="inference.GRPCInferenceService",grpc_method="ModelStreamInfer"';
    await expect.poll(text).toContain(`grpc_server_handled_total{${stream},grpc_code="CANCELLED"} 1`);
    const lines = (await text()).split("\n");
    for (const line of [
      `grpc_server_started_total{${unary}} 4`,
      `grpc_server_handled_total{${unary},grpc_code="OK"} 2`,
      `grpc_server_handled_total{${unary},grpc_code="NOT_FOUND"} 1`,
      `grpc_server_handled_total{${unary},grpc_code="RESOURCE_EXHAUSTED"} 1`,
      `grpc_server_handling_seconds_count{${unary}} 4`,
    ]) {
      expect(lines).toContain(line);
    }
    expect(lines.some((line) => line.includes("nobody"))).toBe(false);
  });
});
