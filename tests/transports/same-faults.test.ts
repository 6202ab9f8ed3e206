import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorCode } from "../../src/contracts/index.ts";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import type { Ask } from "./asks.ts";
import { Faulty, fp32, LIMIT, MATRIX, SUM, texts } from "./faulty.ts";
import { numberOf } from "./transports.ts";

let faulty: Faulty;
beforeAll(async () => {
  faulty = await Faulty.serve();
});
afterAll(() => faulty?.[Symbol.asyncDispose]());

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
    await faulty.expectRefused({ ...ask, headers: HEADERS }, code, message);
  });

  const told = faults.filter(([, , code]) => code !== "INTERNAL");
  it.each(told)("%s, on a stream", async (_what, ask, code) => {
    const [{ message } = { message: "" }] = await faulty.refusals({ ...ask, headers: HEADERS });
    expect(await faulty.transports.stream(ask)).toBe(`${code}: ${message}`);
  });

  /** What only one of them can tell: elements are counted, or bytes; gRPC has no list that is missing. */
  it.each<readonly [string, Ask, RegExp]>([
    ["no inputs", { ...SUM, inputs: [] }, /inputs/],
    ["too few elements", { ...MATRIX, inputs: [fp32("x", [1, 2, 3], [1, 4])] }, /'x'.*\b4\b/],
    ["too many elements", { ...MATRIX, inputs: [fp32("x", [1, 2, 3, 4, 5], [1, 4])] }, /'x'.*\b4\b/],
  ])("%s, in the terms of each", async (_what, ask, message) => {
    for (const { transport, number, message: text } of await faulty.refusals(ask)) {
      expect([transport.name, number]).toEqual([transport.name, numberOf(transport, "INVALID_ARGUMENT")]);
      expect(text).toMatch(message);
    }
  });

  it("shared memory", async () => {
    for (const kind of ["systemsharedmemory", "cudasharedmemory"]) {
      const overHttp = await faulty.transports.server.get(`/v2/${kind}/status`);
      const shared = expect.stringContaining("does not use shared memory");
      expect(overHttp).toEqual({ status: 501, body: { error: shared } });
      const register = await faulty.transports.server.post(`/v2/${kind}/region/mine/register`, {
        byte_size: 8,
      });
      expect(register).toEqual(overHttp);
    }
    const { code, details } = await faulty.transports.grpc.unary(service.SystemSharedMemoryStatus, {});
    expect([code, details]).toEqual([12, expect.stringContaining("does not use shared memory")]);
  });

  it("a request that is too large names the setting, or its limit", async () => {
    const large = { ...MATRIX, inputs: [fp32("x", Array(LIMIT).fill(0.123), [LIMIT / 4, 4])] };
    for (const { transport, number, message } of await faulty.refusals(large)) {
      expect([transport.name, number]).toEqual([transport.name, numberOf(transport, "TOO_LARGE")]);
      expect(message).toMatch(String(LIMIT));
    }
  });
});
