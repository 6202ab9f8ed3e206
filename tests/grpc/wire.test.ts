import fc from "fast-check";
import { expect, test } from "vitest";
import { staleFiles } from "../../src/grpc/generate.ts";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { decode, encode } from "../../src/grpc/wire.ts";

const { InferTensorContents, ModelInferRequest, StatisticDuration } = inference;

test("the generated files are those of the proto files", async () => {
  expect(await staleFiles()).toEqual([]);
});

test("64-bit integers survive both ways, exactly, as bigint", () => {
  const signed = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const unsigned = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(fc.array(signed), fc.array(unsigned), (int64Contents, uint64Contents) => {
      const back = decode(
        InferTensorContents,
        encode(InferTensorContents, { int64Contents, uint64Contents }),
      );
      expect(back.int64Contents).toEqual(int64Contents);
      expect(back.uint64Contents).toEqual(uint64Contents);
    }),
  );
});

test("the edges of every varint length", () => {
  const edges = Array.from({ length: 63 }, (_, bit) => 1n << BigInt(bit)).flatMap((v) => [v - 1n, v, -v]);
  const contents = { int64Contents: BigInt64Array.from(edges) };
  const back = decode(InferTensorContents, encode(InferTensorContents, contents));
  expect(back.int64Contents).toEqual(edges);
});

test("numbers are accepted where 64-bit integers are sent, and absent ones read as 0n", () => {
  const back = decode(StatisticDuration, encode(StatisticDuration, { ns: 7 }));
  expect([back.count, back.ns]).toEqual([0n, 7n]);
});

test("a whole request round-trips through its method", () => {
  const request = {
    modelName: "m",
    id: "1",
    parameters: { big: { int64Param: -(2n ** 62n) }, text: { stringParam: "" } },
    inputs: [{ name: "x", datatype: "FP32", shape: [1, 2] }],
    rawInputContents: [Buffer.from([0, 0, 128, 63, 0, 0, 0, 64])],
  };
  const method = GRPCInferenceService.ModelInfer;
  const back = method.requestDeserialize(method.requestSerialize(request));
  expect(back.parameters.big?.int64Param).toBe(-(2n ** 62n));
  expect(back.parameters.text?.stringParam).toBe("");
  expect(back.inputs[0]?.shape).toEqual([1n, 2n]);
  expect(back.inputs[0]?.contents).toBeNull();
  expect(Buffer.from(back.rawInputContents[0]!)).toEqual(request.rawInputContents[0]);
});

test("typed contents may be typed arrays", () => {
  const fp32Contents = Float32Array.of(1.5, -2);
  const back = decode(InferTensorContents, encode(InferTensorContents, { fp32Contents }));
  expect(back.fp32Contents).toEqual([1.5, -2]);
});

test("unknown fields are dropped, and a cut-off or overlong integer is an error", () => {
  const unknown = Buffer.concat([encode(StatisticDuration, { count: 1n }), Buffer.from([0x78, 0x05])]);
  expect(Object.keys(decode(StatisticDuration, unknown))).toEqual(["count"]);
  expect(() => decode(StatisticDuration, Buffer.from([0x08, 0x80]))).toThrow(/cut off/);
  const overlong = Buffer.from([0x08, ...Array<number>(11).fill(0x80), 0x01]);
  expect(() => decode(StatisticDuration, overlong)).toThrow(/longer than 10 bytes/);
});

test("what is absent reads as empty", () => {
  const empty = decode(ModelInferRequest, Buffer.alloc(0));
  expect([empty.modelName, empty.inputs, empty.parameters]).toEqual(["", [], {}]);
});
