import { describe, expect, it } from "vitest";
import type { Datatype, InferRequest, Parameters, Tensor, TensorData } from "../../src/contracts/index.ts";
import {
  checkInputs,
  checkOutputs,
  decodeContent,
  encodeContent,
  encodeInferResponse,
  selectOutputs,
} from "../../src/v2/index.ts";

const spec = (name: string, shape: number[], datatype: Datatype = "FP32") => ({ name, datatype, shape });
const floats = (name: string, shape: number[], ...values: number[]): Tensor => ({
  ...spec(name, shape),
  data: Float32Array.from(values),
});
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

describe("checkInputs", () => {
  const four = [spec("X", [-1, 4])];

  it("gives the request itself back when it fits", () => {
    const fits = request([floats("X", [1, 4], 1, 2, 3, 4)]);
    expect(checkInputs(fits, four)).toBe(fits);
    expect(checkInputs(fits, undefined)).toBe(fits);
  });

  it.each([
    ["another name", floats("Y", [1, 4], 1, 2, 3, 4), /'Y'.*'X'/],
    [
      "another dimension",
      floats("X", [1, 3], 1, 2, 3),
      /'X': shape \[1,3\] does not fit the model's \[-1,4\]/,
    ],
    ["another rank", floats("X", [4], 1, 2, 3, 4), /'X'.*\[4\].*\[-1,4\]/],
    ["another datatype", { ...spec("X", [1, 4], "FP64"), data: new Float64Array(4) }, /'X'.*FP64.*FP32/],
  ])("refuses %s", (_, input, message) => {
    expect(() => checkInputs(request([input]), four)).toThrow(fault(message));
  });

  it("takes [N] for [N,1], and asks for what is missing unless it is optional", () => {
    const specs = [spec("a", [-1, 1]), spec("b", [-1])];
    const column = floats("a", [3], 1, 2, 3);
    expect(() => checkInputs(request([column]), specs)).toThrow(fault(/'b'/));
    const optional = [specs[0]!, { ...specs[1]!, optional: true }];
    expect(checkInputs(request([column]), optional).inputs).toEqual([{ ...column, shape: [3, 1] }]);
  });
});

describe("outputs", () => {
  const outputs = [floats("a", [1], 1), floats("b", [1], 2)];

  it("refuses an unknown one before the model runs", () => {
    const asked = request([], { outputs: [{ name: "z" }] });
    expect(() => checkOutputs(asked, [spec("a", [1])])).toThrow(fault(/'z'.*'a'/));
    expect(() => selectOutputs(outputs, asked)).toThrow(fault(/'z'/));
  });

  it("come as asked for, in that order; all without asking", () => {
    const asked = request([], { outputs: [{ name: "b" }, { name: "a" }] });
    expect(selectOutputs(outputs, asked).map(({ name }) => name)).toEqual(["b", "a"]);
    expect(selectOutputs(outputs, request([]))).toBe(outputs);
  });

  it("are binary where the output says so, else as the request says (B3, B4)", () => {
    const asked = request([], {
      parameters: { binary_data_output: true },
      outputs: [{ name: "a", parameters: { binary_data: false } }, { name: "b" }],
    });
    const { body, headerLength, contentType } = encodeInferResponse(
      { modelName: "m", modelVersion: "1", outputs },
      asked,
    );
    const head = JSON.parse(Buffer.from(body).subarray(0, headerLength).toString()) as { outputs: object[] };
    expect(contentType).toBe("application/octet-stream");
    expect(head.outputs).toEqual([
      { name: "a", datatype: "FP32", shape: [1], data: [1] },
      { name: "b", datatype: "FP32", shape: [1], parameters: { binary_data_size: 4 } },
    ]);
    expect(Buffer.from(body).readFloatLE(headerLength)).toBe(2);
  });
});

describe("content types", () => {
  it("leaves a request without any alone", () => {
    const plain = request([bytes("a")]);
    expect(decodeContent(plain, undefined)).toBe(plain);
    expect(decodeContent(request([bytes("a", { content_type: "hg-json" })]), undefined).inputs).toHaveLength(
      1,
    );
  });

  it("decodes base64 strictly, from the input or the model's metadata", () => {
    const metadata = [{ ...spec("x", [1], "BYTES"), parameters: { content_type: "base64" } }];
    expect(
      text(decodeContent(request([bytes("aGk=", { content_type: "base64" })]), undefined).inputs[0]),
    ).toBe("hi");
    expect(text(decodeContent(request([bytes("aGk=")]), metadata).inputs[0])).toBe("hi");
    const bad = request([bytes("a", { content_type: "base64" })]);
    expect(() => decodeContent(bad, undefined)).toThrow(fault(/'x'.*element 0.*"a"/));
  });

  it("writes base64 where the output asked for says so", () => {
    const asked = request([], { outputs: [{ name: "x", parameters: { content_type: "base64" } }] });
    const [output] = encodeContent([bytes("hi")], asked, undefined);
    expect([text(output), output?.parameters]).toEqual(["aGk=", { content_type: "base64" }]);
  });

  it.each(["2024-02-29", "2024-01-01T10:00:00.123456+02:00", "2024-01-01 10:00"])(
    "takes the date %s",
    (date) => {
      expect(
        text(decodeContent(request([bytes(date, { content_type: "datetime" })]), undefined).inputs[0]),
      ).toBe(date);
    },
  );

  it.each(["x", "2024-13-01", "2024-01-01T25:00"])("refuses the date %s", (date) => {
    const dated = request([bytes(date, { content_type: "datetime" })]);
    expect(() => decodeContent(dated, undefined)).toThrow(fault(new RegExp(`'x'.*${date}`)));
  });

  describe("pd", () => {
    const column = (name: string, datatype: Datatype, data: TensorData): Tensor => ({
      ...spec(name, [data.length], datatype),
      data,
    });
    const frame = (...columns: Tensor[]) => request(columns, { parameters: { content_type: "pd" } });

    it("makes columns the matrix of a model that takes one", () => {
      const columns = frame(
        column("a", "FP64", Float64Array.of(1, 2)),
        column("b", "INT64", BigInt64Array.of(3n, 4n)),
      );
      const [matrix] = decodeContent(columns, [spec("X", [-1, 2])]).inputs;
      expect(matrix).toMatchObject({ name: "X", datatype: "FP32", shape: [2, 2] });
      expect(matrix?.data).toEqual(Float32Array.of(1, 3, 2, 4));
    });

    it("leaves columns alone that the model knows by name", () => {
      const columns = frame(column("a", "FP32", Float32Array.of(1)));
      expect(decodeContent(columns, [spec("a", [-1, 1])])).toBe(columns);
    });

    it("refuses columns of different lengths, and values the model's type cannot hold", () => {
      const uneven = frame(
        column("a", "FP32", Float32Array.of(1)),
        column("b", "FP32", Float32Array.of(1, 2)),
      );
      expect(() => decodeContent(uneven, [spec("X", [-1, 2])])).toThrow(fault(/'b'/));
      const half = frame(column("a", "FP64", Float64Array.of(0.5)));
      expect(() => decodeContent(half, [spec("X", [-1, 1], "INT32")])).toThrow(fault(/'a'.*0\.5/));
    });
  });
});
