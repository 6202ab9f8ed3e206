import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ERROR_TABLE, type ErrorCode } from "../../src/contracts/index.ts";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { arithmetic, identity } from "../support/onnx-graphs.ts";
import { TestRepository } from "../support/server.ts";
import { type Answer, type Ask, numberOf, type Refusal, serveTransports, type Transports } from "./asks.ts";
import type { TestTensor } from "./tensors.ts";

/** Throws the error whose code it is sent; `Error` is a fault of the code itself. */
const THROWS = `
  import { CapstanError, textOf } from "capstan";
  export default {
    infer({ inputs: [{ data }] }) {
      const [code] = textOf(data);
      if (code === "Error") throw new Error("a secret of the model's code");
      throw new CapstanError(code, "The model says " + code, { retryAfterMs: 1500 });
    },
  };`;
/** Never answers by itself. */
const WAITS = `export default { infer: (_, { signal }) => new Promise((_, reject) =>
  signal.addEventListener("abort", () => reject(signal.reason))) };`;
/** What a call is told beside the tensors. */
const TOLD = `export default { infer: (_, { priority, deadline }) => ({ outputs: [
  { name: "told", datatype: "BYTES", shape: [1], data: [JSON.stringify({ priority, hurried: deadline !== undefined })] } ] }) };`;

const LIMIT = 100_000;

let repository: TestRepository;
let transports: Transports;
beforeAll(async () => {
  repository = await TestRepository.create();
  const onnx = (name: string) => ({
    name,
    implementation: "onnx",
    parameters: { uri: "./model.onnx", version: "3" },
  });
  await repository.write("arithmetic", onnx("arithmetic"), arithmetic());
  await repository.write("matrix", onnx("matrix"), identity("FP32", ["rows", 4]));
  await repository.write("texts", onnx("texts"), identity("BYTES", ["n"]));
  await repository.write("flags", onnx("flags"), identity("BOOL", ["n"]));
  await repository.write("broken", onnx("broken"), Buffer.from("no ONNX file"));
  await repository.write("gone", onnx("gone"), identity("FP32", ["n"]));
  for (const [name, code] of Object.entries({ throws: THROWS, waits: WAITS, told: TOLD })) {
    await repository.write(name, { name, implementation: `./${name}.ts` });
    await writeFile(repository.path(name, `${name}.ts`), code);
  }
  const limits = { max_body_bytes: LIMIT, grpc_max_message_length: LIMIT };
  transports = await serveTransports(repository.root, limits);
  const { status } = await transports.server.post("/v2/repository/models/gone/unload");
  expect(status).toBe(200);
});
afterAll(async () => {
  await transports?.[Symbol.asyncDispose]();
  await repository?.[Symbol.asyncDispose]();
});

const fp32 = (
  name: string,
  values: readonly number[],
  shape: readonly number[] = [values.length],
): TestTensor => ({
  name,
  datatype: "FP32",
  shape,
  data: values,
});
const texts = (...values: string[]): TestTensor => ({
  name: "x",
  datatype: "BYTES",
  shape: [values.length],
  data: values.map((value) => Buffer.from(value)),
});
const SUM: Ask = { model: "arithmetic", inputs: [fp32("a", [1, 2]), fp32("b", [3, 4])] };
const MATRIX: Ask = { model: "matrix", inputs: [fp32("x", [1, 2, 3, 4], [1, 4])] };

/** Asks by every transport, and gives what each says. */
const refusals = (ask: Ask) =>
  Promise.all(
    transports.all.map(async (transport) => {
      const { number, message, retry } = (await transport.infer(ask)) as Refusal;
      return { transport, number, message, retry };
    }),
  );

/** Fails unless every transport refuses with its own number for `code` and the same message. */
async function expectRefused(ask: Ask, code: ErrorCode, message: RegExp): Promise<void> {
  const given = await refusals(ask);
  const shown = given.map(({ transport, number, message }) => [transport.name, number, message]);
  const text = given[0]!.message;
  expect(shown).toEqual(given.map(({ transport }) => [transport.name, numberOf(transport, code), text]));
  expect(text).toMatch(message);
}

type Fault = readonly [what: string, ask: Ask, code: ErrorCode, message: RegExp];

const faults: readonly Fault[] = [
  ["an unknown model", { ...SUM, model: "nobody" }, "NOT_FOUND", /^Model 'nobody' is not found$/],
  ["an unknown version", { ...SUM, version: "9" }, "NOT_FOUND", /'arithmetic' version '9'.*it has 3/],
  [
    "a name that is no model name",
    { ...SUM, model: "a..b" },
    "INVALID_ARGUMENT",
    /"a\.\.b" is not a model name/,
  ],
  [
    "a model that did not load",
    { ...SUM, model: "broken" },
    "NOT_READY",
    /'broken' is not ready: .*model\.onnx/,
  ],
  ["a model that was unloaded", { ...SUM, model: "gone" }, "NOT_READY", /'gone' is not ready: unloaded/],
  [
    "an unknown input",
    { ...SUM, inputs: [...SUM.inputs, fp32("c", [1])] },
    "INVALID_ARGUMENT",
    /'c' is not one of the model's: 'a', 'b'/,
  ],
  ["a missing input", { ...SUM, inputs: [fp32("a", [1])] }, "INVALID_ARGUMENT", /needs input 'b'/],
  [
    "an input given twice",
    { ...SUM, inputs: [...SUM.inputs, fp32("a", [1, 2])] },
    "INVALID_ARGUMENT",
    /^Input 'a' is given twice$/,
  ],
  [
    "another datatype than the model's",
    { ...SUM, inputs: [{ ...fp32("a", [1, 2]), datatype: "FP64" }, fp32("b", [3, 4])] },
    "INVALID_ARGUMENT",
    /'a': datatype FP64 .* FP32/,
  ],
  [
    "a datatype that nobody knows",
    { ...SUM, inputs: [{ ...fp32("a", [1, 2]), datatype: "FLOAT" as "FP32" }, fp32("b", [3, 4])] },
    "INVALID_ARGUMENT",
    /FLOAT/,
  ],
  [
    "another rank than the model's",
    { ...MATRIX, inputs: [fp32("x", [1, 2, 3, 4])] },
    "INVALID_ARGUMENT",
    /'x': shape \[4\] .* \[-1,4\]/,
  ],
  [
    "another fixed dimension than the model's",
    { ...MATRIX, inputs: [fp32("x", [1, 2, 3, 4], [2, 2])] },
    "INVALID_ARGUMENT",
    /'x': shape \[2,2\] .* \[-1,4\]/,
  ],
  [
    "a negative dimension",
    { ...MATRIX, inputs: [fp32("x", [1, 2, 3, 4], [-1, 4])] },
    "INVALID_ARGUMENT",
    /'x': .*-1/,
  ],
  [
    "a shape with more elements than can be counted",
    { ...MATRIX, inputs: [fp32("x", [1], [2 ** 40, 2 ** 40])] },
    "INVALID_ARGUMENT",
    /'x': .*more elements than can be counted/,
  ],
  [
    "more dimensions than are allowed",
    { ...MATRIX, inputs: [fp32("x", [1], Array(100).fill(1))] },
    "INVALID_ARGUMENT",
    /'x': shape has 100 dimensions/,
  ],
  [
    "an unknown output",
    { ...SUM, outputs: ["sum", "difference"] },
    "INVALID_ARGUMENT",
    /'difference' is not one of the model's: 'sum', 'product'/,
  ],
  [
    "an output asked for twice",
    { ...SUM, outputs: ["sum", "sum"] },
    "INVALID_ARGUMENT",
    /^Output 'sum' is given twice$/,
  ],
  ["an output without a name", { ...SUM, outputs: ["sum", ""] }, "INVALID_ARGUMENT", /outputs\[1\]: 'name'/],
  ["an input without a name", { ...SUM, inputs: [fp32("", [1])] }, "INVALID_ARGUMENT", /name/],
  ["an id that is too long", { ...SUM, id: "x".repeat(5000) }, "INVALID_ARGUMENT", /'id' must be/],
  [
    "inputs that the graph cannot add",
    { ...SUM, inputs: [fp32("a", [1, 2]), fp32("b", [1, 2, 3])] },
    "INTERNAL",
    /request id/,
  ],
  [
    "text that the model cannot take",
    { model: "texts", inputs: [texts("fine", "a\0b")] },
    "INVALID_ARGUMENT",
    /'x': element 1 holds a NUL/,
  ],
  [
    "a deadline that passed",
    { ...SUM, model: "waits", parameters: { timeout: 20_000 } },
    "DEADLINE_EXCEEDED",
    /^The request's deadline of 20 ms passed$/,
  ],
];

const HEADERS = { "x-request-id": "the-request" };

describe("what is refused has the number of the table and the same message by every transport", () => {
  it.each(faults)("%s", async (_what, ask, code, message) => {
    await expectRefused({ ...ask, headers: HEADERS }, code, message);
  });

  /** What only one of them can tell: elements are counted, or bytes; gRPC has no list that is missing. */
  it.each<readonly [string, Ask, RegExp]>([
    ["no inputs", { ...SUM, inputs: [] }, /inputs/],
    ["too few elements", { ...MATRIX, inputs: [fp32("x", [1, 2, 3], [1, 4])] }, /'x'.*\b4\b/],
    ["too many elements", { ...MATRIX, inputs: [fp32("x", [1, 2, 3, 4, 5], [1, 4])] }, /'x'.*\b4\b/],
  ])("%s, in the terms of each", async (_what, ask, message) => {
    for (const { transport, number, message: text } of await refusals(ask)) {
      expect([transport.name, number]).toEqual([transport.name, numberOf(transport, "INVALID_ARGUMENT")]);
      expect(text).toMatch(message);
    }
  });

  it("shared memory", async () => {
    for (const kind of ["systemsharedmemory", "cudasharedmemory"]) {
      const overHttp = await transports.server.get(`/v2/${kind}/status`);
      const shared = expect.stringContaining("does not use shared memory");
      expect(overHttp).toEqual({ status: 501, body: { error: shared } });
      const register = await transports.server.post(`/v2/${kind}/region/mine/register`, { byte_size: 8 });
      expect(register).toEqual(overHttp);
    }
    const { code, details } = await transports.grpc.unary(service.SystemSharedMemoryStatus, {});
    expect([code, details]).toEqual([12, expect.stringContaining("does not use shared memory")]);
  });

  it("a request that is too large names the setting, or its limit", async () => {
    const large = { ...MATRIX, inputs: [fp32("x", Array(LIMIT).fill(0.123), [LIMIT / 4, 4])] };
    for (const { transport, number, message } of await refusals(large)) {
      expect([transport.name, number]).toEqual([transport.name, numberOf(transport, "TOO_LARGE")]);
      expect(message).toMatch(String(LIMIT));
    }
  });
});

describe("an error that a model throws", () => {
  const codes = Object.keys(ERROR_TABLE).filter((code) => code !== "INTERNAL") as ErrorCode[];

  it.each(codes)("%s keeps its code, its message and when to come back", async (code) => {
    const ask = { model: "throws", inputs: [texts(code)] };
    await expectRefused(ask, code, new RegExp(`^The model says ${code}$`));
    const given = await refusals(ask);
    expect(given.map(({ retry }) => retry)).toEqual(["2", "2", "1500", "1500"]);
  });

  it.each(["INTERNAL", "Error"])("%s is not shown, and is found by the request's id", async (code) => {
    const ask = { model: "throws", inputs: [texts(code)], headers: HEADERS };
    await expectRefused(ask, "INTERNAL", /^Internal error; .* request id the-request$/);
  });
});

describe("what a model is told beside the tensors", () => {
  const told = async (ask: Partial<Ask>) => {
    const all = { model: "told", inputs: [texts("x")], ...ask };
    const given = await Promise.all(transports.all.map(({ infer }) => infer(all) as Promise<Answer>));
    const bytes = given.map(({ outputs }) => Buffer.from(outputs[0]!.bytes, "hex"));
    return bytes.map((each) => JSON.parse(each.subarray(4).toString()) as unknown);
  };
  const byAll = (value: object) => transports.all.map(() => value);

  it("the priority, from the parameter or the header", async () => {
    const [overHttp, , overGrpc] = await told({});
    expect(overHttp).toEqual({ hurried: false });
    // Every gRPC call of the test's client has a deadline.
    expect(overGrpc).toEqual({ hurried: true });
    const of = (all: unknown[]) => all.map((each) => (each as { priority?: number }).priority);
    expect(of(await told({ parameters: { priority: 2 } }))).toEqual([2, 2, 2, 2]);
    expect(of(await told({ headers: { "x-priority": "3" } }))).toEqual([3, 3, 3, 3]);
  });

  it("the deadline of the parameter, where 0 is none", async () => {
    expect(await told({ parameters: { timeout: 60_000_000 } })).toEqual(byAll({ hurried: true }));
    const [overJson, overBinary] = await told({ parameters: { timeout: 0 } });
    expect([overJson, overBinary]).toEqual([{ hurried: false }, { hurried: false }]);
  });
});

/** Questions other than inference, by path and by method. */
type Question = readonly [
  what: string,
  http: readonly [method: "GET" | "POST", path: string, body?: object],
  grpc: () => Promise<{ readonly code: number; readonly details: string }>,
  code: ErrorCode,
  message: RegExp,
];

const configOf = (config: unknown) => ({ config: { stringParam: config as string } });
const load = (modelName: string, parameters = {}) =>
  transports.grpc.unary(service.RepositoryModelLoad, { modelName, parameters });
const loadPath = (model: string) => `/v2/repository/models/${model}/load`;

const questions: readonly Question[] = [
  [
    "metadata of an unknown model",
    ["GET", "/v2/models/nobody"],
    () => transports.grpc.unary(service.ModelMetadata, { name: "nobody" }),
    "NOT_FOUND",
    /'nobody' is not found/,
  ],
  [
    "metadata of an unknown version",
    ["GET", "/v2/models/matrix/versions/9"],
    () => transports.grpc.unary(service.ModelMetadata, { name: "matrix", version: "9" }),
    "NOT_FOUND",
    /version '9'/,
  ],
  [
    "metadata of a model that is not loaded",
    ["GET", "/v2/models/gone"],
    () => transports.grpc.unary(service.ModelMetadata, { name: "gone" }),
    "NOT_READY",
    /'gone' is not ready/,
  ],
  [
    "the configuration of an unknown model",
    ["GET", "/v2/models/nobody/config"],
    () => transports.grpc.unary(service.ModelConfig, { name: "nobody" }),
    "NOT_FOUND",
    /'nobody' is not found/,
  ],
  [
    "statistics of an unknown model",
    ["GET", "/v2/models/nobody/stats"],
    () => transports.grpc.unary(service.ModelStatistics, { name: "nobody" }),
    "NOT_FOUND",
    /'nobody' is not found/,
  ],
  ["loading an unknown model", ["POST", loadPath("nobody")], () => load("nobody"), "NOT_FOUND", /'nobody'/],
  [
    "loading what cannot load",
    ["POST", loadPath("broken")],
    () => load("broken"),
    "LOAD_FAILED",
    /model\.onnx/,
  ],
  [
    "unloading an unknown model",
    ["POST", "/v2/repository/models/nobody/unload"],
    () => transports.grpc.unary(service.RepositoryModelUnload, { modelName: "nobody" }),
    "NOT_FOUND",
    /'nobody'/,
  ],
  [
    "a config that is no JSON",
    ["POST", loadPath("matrix"), { parameters: { config: "{" } }],
    () => load("matrix", configOf("{")),
    "INVALID_ARGUMENT",
    /'config' must be JSON/,
  ],
  [
    "a config that changes what only the folder may",
    ["POST", loadPath("matrix"), { parameters: { config: '{"implementation":"./evil.ts"}' } }],
    () => load("matrix", configOf('{"implementation":"./evil.ts"}')),
    "PERMISSION_DENIED",
    /may not change 'implementation'/,
  ],
  [
    "a config that is no text",
    ["POST", loadPath("matrix"), { parameters: { config: 1 } }],
    () => load("matrix", { config: { int64Param: 1 } }),
    "INVALID_ARGUMENT",
    /'config' must be a string/,
  ],
  [
    "a model that comes with the call",
    ["POST", loadPath("matrix"), { parameters: { "file:1/model.onnx": "AAAA" } }],
    () => load("matrix", { "file:1/model.onnx": { bytesParam: Buffer.alloc(3) } }),
    "UNSUPPORTED",
    /file:1\/model\.onnx/,
  ],
];

describe("other questions are refused alike", () => {
  it.each(questions)("%s", async (_what, [method, path, body], grpc, code, message) => {
    const headers = { "content-type": "application/json" };
    const init = method === "GET" ? {} : { method, headers, body: JSON.stringify(body ?? {}) };
    const overHttp = await transports.server.request(path, init);
    const { error } = (await overHttp.json()) as { error: string };
    const overGrpc = await grpc();
    expect([overHttp.status, overGrpc.code]).toEqual([ERROR_TABLE[code].http, ERROR_TABLE[code].grpc]);
    expect(overGrpc.details).toBe(error);
    expect(error).toMatch(message);
  });
});
