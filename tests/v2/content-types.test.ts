import { describe, expect, it } from "vitest";
import type { Datatype, InferRequest, Parameters, Tensor, TensorData } from "../../src/contracts/index.ts";
import { decodeContent, encodeContent } from "../../src/v2/index.ts";

const spec = (name: string, shape: number[], datatype: Datatype = "FP32") => ({ name, datatype, shape });
const bytes = (text: string, parameters: Parameters = {}): Tensor => ({
  ...spec("x", [1], "BYTES"),
  data: [Buffer.from(text)],
  parameters,
});
const request = (inputs: Tensor[], more: Partial<InferRequest> = {}): InferRequest => ({
  parameters: {},
  inputs,
  ...more,
});
const text = (tensor: Tensor | undefined) => String((tensor?.data as Buffer[] | undefined)?.[0]);
const fault = (message: RegExp) =>
  expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) });

describe("content types", () => {
  it("leaves a request without any, or with one it does not know, alone", () => {
    const plain = request([bytes("a")]);
    expect(decodeContent(plain, undefined)).toBe(plain);
    const unknown = request([bytes("a", { content_type: "hg-json" })], {
      parameters: { content_type: "np" },
    });
    expect(decodeContent(unknown, undefined)).toBe(unknown);
  });

  it.each(["A", "A===", "====", "aGk", "aG k=", "aGk=aGk="])("refuses %j as base64", (bad) => {
    const encoded = request([bytes(bad, { content_type: "base64" })]);
    expect(() => decodeContent(encoded, undefined)).toThrow(fault(/'x'.*element 0.*base64/));
  });

  it("decodes base64 once: from the input, the model's metadata or the request", () => {
    const metadata = [{ ...spec("x", [1], "BYTES"), parameters: { content_type: "base64" } }];
    const more = { parameters: { content_type: "base64", kept: 1 } };
    const decoded = [
      decodeContent(request([bytes("aGk=", { content_type: "base64" })]), undefined),
      decodeContent(request([bytes("aGk=")]), metadata),
      decodeContent(request([bytes("aGk=")], more), undefined),
    ];
    for (const { inputs, parameters } of decoded) {
      expect(text(inputs[0])).toBe("hi");
      expect(inputs[0]?.parameters).toEqual({});
      expect(parameters.content_type).toBeUndefined();
    }
    expect(decoded[2]?.parameters).toEqual({ kept: 1 });
  });

  it("decodes 16 MiB of base64", () => {
    const encoded = request([bytes("A".repeat(16 << 20), { content_type: "base64" })]);
    const [element] = decodeContent(encoded, undefined).inputs[0]!.data as Uint8Array[];
    expect(element?.length).toBe(12 << 20);
  });

  it("lets the input's own type go before the request's", () => {
    const own = request([bytes("a b", { content_type: "str" })], { parameters: { content_type: "base64" } });
    expect(decodeContent(own, undefined)).toBe(own);
  });

  it("refuses text that is not UTF-8", () => {
    const raw = { ...bytes("", { content_type: "str" }), data: [Buffer.from([255])] };
    expect(() => decodeContent(request([raw]), undefined)).toThrow(fault(/'x'.*UTF-8/));
  });

  it("writes base64 where the output asked for says so, once", () => {
    const asked = request([], { outputs: [{ name: "x", parameters: { content_type: "base64" } }] });
    const encoded = encodeContent([bytes("hi")], asked, undefined);
    expect([text(encoded[0]), encoded[0]?.parameters]).toEqual(["aGk=", { content_type: "base64" }]);
    expect(encodeContent(encoded, asked, undefined)).toEqual(encoded);
  });
});

describe("datetime", () => {
  const dated = (date: string) => request([bytes(date, { content_type: "datetime" })]);

  it.each(["2024-02-29", "2024-01-01T10:00:00.123456+02:00", "2024-01-01 10:00"])("takes %s", (date) => {
    expect(text(decodeContent(dated(date), undefined).inputs[0])).toBe(date);
  });

  it.each(["x", "2024-13-01", "2024-01-01T25:00", "2024-02-30", "2023-02-29T10:00:00Z", "2024-04-31"])(
    "refuses %s",
    (date) => {
      expect(() => decodeContent(dated(date), undefined)).toThrow(fault(new RegExp(`'x'.*${date}`)));
    },
  );
});

describe("pd", () => {
  const column = (name: string, datatype: Datatype, data: TensorData): Tensor => ({
    ...spec(name, [data.length], datatype),
    data,
  });
  const frame = (...columns: Tensor[]) =>
    request(columns, { parameters: { content_type: "pd", kept: true } });
  const matrix = (datatype: Datatype, ...columns: Tensor[]) =>
    decodeContent(frame(...columns), [spec("X", [-1, columns.length], datatype)]);
  const FP64 = (...values: number[]) => column("a", "FP64", Float64Array.from(values));
  const INT64 = (...values: bigint[]) => column("a", "INT64", BigInt64Array.from(values));

  it("makes columns the matrix of a model that takes one, and is done with then", () => {
    const { inputs, parameters } = matrix("FP32", FP64(1, 2), { ...INT64(3n, 4n), name: "b" });
    expect(inputs).toEqual([{ ...spec("X", [2, 2]), data: Float32Array.of(1, 3, 2, 4) }]);
    expect(parameters).toEqual({ kept: true });
  });

  it("leaves columns alone that the model knows by name, and a frame without any", () => {
    const columns = frame(column("a", "FP32", Float32Array.of(1)));
    expect(decodeContent(columns, [spec("a", [-1, 1])])).toBe(columns);
    expect(decodeContent(frame(), [spec("X", [-1, 1])])).toEqual(frame());
  });

  it("refuses columns of different lengths, and of text", () => {
    expect(() => matrix("FP32", FP64(1), { ...FP64(1, 2), name: "b" })).toThrow(fault(/'b'/));
    expect(() => matrix("FP32", bytes("1"))).toThrow(fault(/'x'/));
  });

  it.each<[Datatype, Tensor, number | bigint]>([
    ["FP16", FP64(1.5), 0x3e00],
    ["BF16", INT64(1n), 0x3f80],
    ["FP32", column("a", "FP16", Uint16Array.of(0x3c00)), 1],
    ["FP32", column("a", "BF16", Uint16Array.of(0x3fc0)), 1.5],
    ["FP32", FP64(0.1), Math.fround(0.1)],
    ["FP32", FP64(Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY],
    ["FP16", FP64(Number.NaN), 0x7e00],
    ["FP64", INT64(2n ** 53n), 2 ** 53],
    ["FP32", INT64(2n ** 24n), 2 ** 24],
    ["INT64", FP64(-3), -3n],
    ["INT64", INT64(2n ** 62n + 1n), 2n ** 62n + 1n],
    ["INT8", INT64(-128n), -128],
    ["BOOL", FP64(1), 1],
  ])("makes a value of %s", (datatype, values, expected) => {
    expect(matrix(datatype, values).inputs[0]?.data[0]).toBe(expected);
  });

  it.each<[Datatype, Tensor]>([
    ["FP32", FP64(1e300)],
    ["FP16", FP64(65520)],
    ["FP16", INT64(2049n)],
    ["FP32", INT64(2n ** 24n + 1n)],
    ["FP64", INT64(2n ** 53n + 1n)],
    ["BOOL", column("a", "INT32", Int32Array.of(2))],
    ["INT32", FP64(0.5)],
    ["INT32", FP64(Number.NaN)],
    ["INT64", FP64(0.5)],
    ["UINT64", INT64(-1n)],
    ["UINT8", INT64(256n)],
  ])("refuses what %s cannot hold", (datatype, values) => {
    expect(() => matrix(datatype, values)).toThrow(fault(/'a'/));
  });
});
