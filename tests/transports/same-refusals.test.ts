import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ERROR_TABLE, type ErrorCode } from "../../src/contracts/index.ts";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import type { Answer, Ask } from "./asks.ts";
import { Faulty, texts } from "./faulty.ts";

const HEADERS = { "x-request-id": "the-request" };

let faulty: Faulty;
beforeAll(async () => {
  faulty = await Faulty.serve();
});
afterAll(() => faulty?.[Symbol.asyncDispose]());

describe("an error that a model throws", () => {
  const codes = Object.keys(ERROR_TABLE).filter((code) => code !== "INTERNAL") as ErrorCode[];

  it.each(codes)("%s keeps its code, its message and when to come back", async (code) => {
    const ask = { model: "throws", inputs: [texts(code)] };
    await faulty.expectRefused(ask, code, new RegExp(`^The model says ${code}$`));
    const given = await faulty.refusals(ask);
    expect(given.map(({ retry }) => retry)).toEqual(["2", "2", "1500", "1500"]);
  });

  it.each(["INTERNAL", "Error"])("%s is not shown, and is found by the request's id", async (code) => {
    const ask = { model: "throws", inputs: [texts(code)], headers: HEADERS };
    await faulty.expectRefused(ask, "INTERNAL", /^Internal error; .* request id the-request$/);
  });
});

describe("what a model is told beside the tensors", () => {
  const told = async (ask: Partial<Ask>) => {
    const all = { model: "told", inputs: [texts("x")], ...ask };
    const given = await Promise.all(faulty.transports.all.map(({ infer }) => infer(all) as Promise<Answer>));
    const bytes = given.map(({ outputs }) => Buffer.from(outputs[0]!.bytes, "hex"));
    return bytes.map((each) => JSON.parse(each.subarray(4).toString()) as unknown);
  };
  const byAll = (value: object) => faulty.transports.all.map(() => value);

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
  faulty.transports.grpc.unary(service.RepositoryModelLoad, { modelName, parameters });
const loadPath = (model: string) => `/v2/repository/models/${model}/load`;

const questions: readonly Question[] = [
  [
    "metadata of an unknown model",
    ["GET", "/v2/models/nobody"],
    () => faulty.transports.grpc.unary(service.ModelMetadata, { name: "nobody" }),
    "NOT_FOUND",
    /'nobody' is not found/,
  ],
  [
    "metadata of an unknown version",
    ["GET", "/v2/models/matrix/versions/9"],
    () => faulty.transports.grpc.unary(service.ModelMetadata, { name: "matrix", version: "9" }),
    "NOT_FOUND",
    /version '9'/,
  ],
  [
    "metadata of a model that is not loaded",
    ["GET", "/v2/models/gone"],
    () => faulty.transports.grpc.unary(service.ModelMetadata, { name: "gone" }),
    "NOT_READY",
    /'gone' is not ready/,
  ],
  [
    "the configuration of an unknown model",
    ["GET", "/v2/models/nobody/config"],
    () => faulty.transports.grpc.unary(service.ModelConfig, { name: "nobody" }),
    "NOT_FOUND",
    /'nobody' is not found/,
  ],
  [
    "statistics of an unknown model",
    ["GET", "/v2/models/nobody/stats"],
    () => faulty.transports.grpc.unary(service.ModelStatistics, { name: "nobody" }),
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
    () => faulty.transports.grpc.unary(service.RepositoryModelUnload, { modelName: "nobody" }),
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
    const overHttp = await faulty.transports.server.request(path, init);
    const { error } = (await overHttp.json()) as { error: string };
    const overGrpc = await grpc();
    expect([overHttp.status, overGrpc.code]).toEqual([ERROR_TABLE[code].http, ERROR_TABLE[code].grpc]);
    expect(overGrpc.details).toBe(error);
    expect(error).toMatch(message);
  });
});
