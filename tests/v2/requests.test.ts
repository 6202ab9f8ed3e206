import { describe, expect, it } from "vitest";
import { CapstanError, type TensorSpec } from "../../src/contracts/index.ts";
import { checkModelName, decodeInferRequest, decodeJsonRequest } from "../../src/v2/index.ts";

const FP32 = { name: "x", datatype: "FP32", shape: [1], data: [1] };
const request = (input: object, more: object = {}) =>
  JSON.stringify({ inputs: [{ ...FP32, ...input }], ...more });
const decode = (text: string) => decodeJsonRequest(Buffer.from(text));
const element = (datatype: string, literal: string) =>
  decode(`{"inputs":[{"name":"x","datatype":"${datatype}","shape":[1],"data":[${literal}]}]}`).inputs[0]!
    .data[0];

/** The fault of a call, which must be the caller's. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(CapstanError);
    expect((thrown as CapstanError).code).toBe("INVALID_ARGUMENT");
    return (thrown as CapstanError).message;
  }
  throw new Error("was not refused");
}

describe("a request that is not one", () => {
  it.each([
    ["nothing", "", /empty/],
    ["text", "inputs please", /not JSON/],
    ["cut-off JSON", '{"inputs": [', /not JSON/],
    ["null", "null", /object/],
    ["no inputs", "{}", /inputs/],
    ["inputs that is an object", '{"inputs":{}}', /inputs/],
    ["an empty list of inputs", '{"inputs":[]}', /inputs/],
    ["an id that is a number", request({}, { id: 5 }), /id.*5/],
    ["a parameter that is an object", request({}, { parameters: { a: {} } }), /'a'/],
    ["the same input twice", JSON.stringify({ inputs: [FP32, FP32] }), /'x'.*twice/],
    ["the same output twice", request({}, { outputs: [{ name: "y" }, { name: "y" }] }), /'y'.*twice/],
    ["a name that is a number", request({ name: 1 }), /name.*1/],
    ["an empty name", request({ name: "" }), /name/],
    ["an unknown datatype", request({ datatype: "FLOAT" }), /'x'.*FLOAT/],
    ["no data", request({ data: undefined }), /'x'.*data/],
    ["a negative dimension", request({ shape: [-1] }), /'x'.*-1/],
    ["a fractional dimension", request({ shape: [1.5] }), /'x'.*1\.5/],
    ["too many dimensions", request({ shape: Array(33).fill(1) }), /'x'.*33/],
    ["too few elements", request({ shape: [2] }), /'x'.*2.*1/],
    ["a product beyond counting", request({ shape: [2 ** 32, 2 ** 32] }), /'x'/],
    ["ragged data", request({ shape: [2, 2], data: [[1, 2], [3]] }), /'x'/],
    ["more memory than there is", request({ shape: [2, 1e12], data: [[1], [2]] }), /'x'/],
    [
      "binary data without the header",
      request({ data: undefined, parameters: { binary_data_size: 4 } }),
      /'x'/,
    ],
    ["two million brackets", "[".repeat(2_000_000), /nested|deeper/],
  ])("%s", (_, text, message) => {
    expect(refusal(() => decode(text))).toMatch(message);
  });
});

describe("an element", () => {
  it.each([
    ["INT8", "300"],
    ["UINT8", "-1"],
    ["INT32", "1.5"],
    ["INT32", "null"],
    ["UINT64", "18446744073709551616"],
    ["INT64", "9223372036854775808"],
    ["INT64", '"5"'],
    ["FP32", '"1"'],
    ["FP32", "1e39"],
    ["FP32", "true"],
    ["FP64", "1e400"],
    ["FP16", "65520"],
    ["BOOL", "1"],
    ["BYTES", "1"],
    ["BYTES", '"\\ud800"'],
  ])("of %s is not %s", (datatype, literal) => {
    expect(refusal(() => element(datatype, literal))).toMatch(/'x'.*element 0/);
  });

  it.each([
    ["INT64", "9007199254740993", 9007199254740993n],
    ["INT64", "-9223372036854775808", -(2n ** 63n)],
    ["UINT64", "18446744073709551615", 2n ** 64n - 1n],
    ["FP32", '"-Infinity"', Number.NEGATIVE_INFINITY],
    ["FP32", '"NaN"', Number.NaN],
    ["FP32", "100000000000000000000", Math.fround(1e20)],
    ["BOOL", "true", 1],
    ["INT8", "-0", 0],
  ])("of %s may be %s", (datatype, literal, value) => {
    expect(element(datatype, literal)).toEqual(value);
  });
});

describe("the binary extension", () => {
  const spec = (shape: number[], datatype: TensorSpec["datatype"] = "FP32"): TensorSpec[] => [
    { name: "x", datatype, shape },
  ];
  const binary = (size: number, bytes: number, shape = [1]) => {
    const json = request({ data: undefined, shape, parameters: { binary_data_size: size } });
    return decodeInferRequest(Buffer.concat([Buffer.from(json), Buffer.alloc(bytes)]), String(json.length));
  };

  it.each(["ten", "-1", "99999", "5", "1.5", "1e2", "", "5, 5"])(
    "refuses the header value '%s' (B6)",
    (header) => {
      expect(refusal(() => decodeInferRequest(Buffer.from(request({})), header))).toMatch(
        /Content-Length|JSON/,
      );
    },
  );

  it("refuses bytes that are missing, left over, or not the shape's (B2)", () => {
    expect(refusal(() => binary(4, 3))).toMatch(/'x'.*4.*3/);
    expect(refusal(() => binary(4, 6))).toMatch(/2 bytes/);
    expect(refusal(() => binary(5, 5))).toMatch(/'x'.*4.*5/);
    expect(binary(4, 4).inputs[0]!.data).toEqual(new Float32Array(1));
  });

  it("takes a raw body as the one input, its variable dimension from its length (B5)", () => {
    const decoded = decodeInferRequest(Buffer.alloc(32), "0", spec([-1, 4]));
    expect(decoded.inputs[0]).toMatchObject({ name: "x", datatype: "FP32", shape: [2, 4] });
    expect(decoded.parameters).toEqual({ binary_data_output: true });
  });

  it("takes a raw BYTES body as one element (B5)", () => {
    const [input] = decodeInferRequest(Buffer.from("hi"), "0", spec([-1], "BYTES")).inputs;
    expect(input).toMatchObject({ shape: [1], data: [Buffer.from("hi")] });
  });

  it.each([
    ["half a row", 33, spec([-1, 4])],
    ["two variable dimensions", 32, spec([-1, -1])],
    ["two inputs", 4, [...spec([1]), ...spec([1])]],
    ["no signature", 4, undefined],
  ])("refuses a raw body with %s (B5)", (_, length, signature) => {
    expect(refusal(() => decodeInferRequest(Buffer.alloc(length), "0", signature))).not.toBe("");
  });
});

describe("checkModelName", () => {
  it.each(["", "a/b", "a\\b", "..", "a..b", "a\n", "x".repeat(257)])("refuses %j", (name) => {
    expect(refusal(() => checkModelName(name, "model"))).toMatch(/model/);
  });

  it("gives a good name back", () => {
    expect(checkModelName("iris-1.0", "model")).toBe("iris-1.0");
  });
});
