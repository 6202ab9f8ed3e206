import { describe, expect, it } from "vitest";
import type { Datatype, InferRequest, Tensor } from "../../src/contracts/index.ts";
import { checkInputs, checkOutputs, encodeInferResponse, selectOutputs } from "../../src/v2/index.ts";

const spec = (name: string, shape: number[], datatype: Datatype = "FP32") => ({ name, datatype, shape });
const floats = (name: string, shape: number[], ...values: number[]): Tensor => ({
  ...spec(name, shape),
  data: Float32Array.from(values),
});
const request = (inputs: Tensor[], more: Partial<InferRequest> = {}): InferRequest => ({
  parameters: {},
  inputs,
  ...more,
});
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

  it("refuses an input that is given twice", () => {
    const input = floats("X", [1, 4], 1, 2, 3, 4);
    expect(() => checkInputs(request([input, input]), four)).toThrow(fault(/'X'.*twice/));
  });

  it("tells many inputs apart", () => {
    const specs = Array.from({ length: 100 }, (_, index) => spec(`x${index}`, [1]));
    const inputs = specs.map(({ name }) => floats(name, [1], 1));
    const all = request(inputs);
    expect(checkInputs(all, specs)).toBe(all);
    expect(() => checkInputs(request(inputs.slice(1)), specs)).toThrow(fault(/needs input 'x0'/));
    const wrong = [...inputs.slice(1), floats("y", [1], 1)];
    expect(() => checkInputs(request(wrong), specs)).toThrow(fault(/'y'.*'x19', 80 more/));
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

  it("do not repeat how the bytes of another message travelled", () => {
    const parameters = { binary_data: true, binary_data_size: 9, binary_data_output: true };
    const output = { ...floats("a", [1], 1), parameters: { ...parameters, kept: 1 } };
    const response = { modelName: "m", modelVersion: "1", parameters, outputs: [output] };
    const json = ({ body, headerLength }: ReturnType<typeof encodeInferResponse>) =>
      JSON.parse(Buffer.from(body).subarray(0, headerLength).toString()) as object;
    const head = { name: "a", datatype: "FP32", shape: [1] };
    expect(json(encodeInferResponse(response, request([])))).toEqual({
      model_name: "m",
      model_version: "1",
      outputs: [{ ...head, parameters: { kept: 1 }, data: [1] }],
    });
    const binary = request([], { parameters: { binary_data_output: true } });
    expect(json(encodeInferResponse(response, binary))).toMatchObject({
      outputs: [{ ...head, parameters: { kept: 1, binary_data_size: 4 } }],
    });
  });
});
