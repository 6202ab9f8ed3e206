import { describe, expect, it } from "vitest";
import { CapstanError, type TensorSpec } from "../../src/contracts/index.ts";
import {
  checkModelName,
  decodeInferRequest,
  decodeJsonRequest,
  readJsonElements,
  readTensorData,
  UNSAFE_INTEGER,
} from "../../src/v2/index.ts";

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
    ["a number among rows", request({ shape: [2, 2], data: [[1, 2], 3] }), /'x'.*3.*list/],
    ["an output without a list", request({}, { outputs: {} }), /outputs/],
    ["more memory than there is", request({ shape: [2, 1e12], data: [[1], [2]] }), /'x'/],
    [
      "binary data without the header",
      request({ data: undefined, parameters: { binary_data_size: 4 } }),
      /'x'/,
    ],
    ["two million brackets", "[".repeat(2_000_000), /nested|deeper/],
    ["an infinite parameter", '{"parameters":{"n":1e400},"inputs":[{}]}', /'n' is Infinity/],
    ["a parameter that is a list", request({ parameters: { n: [1] } }), /'x'.*'n'/],
    [
      "binary_data that is text",
      request({}, { outputs: [{ name: "y", parameters: { binary_data: "false" } }] }),
      /'y'.*binary_data.*"false"/,
    ],
    [
      "binary_data_output that is a number",
      request({}, { parameters: { binary_data_output: 1 } }),
      /binary_data_output.* 1;/,
    ],
  ])("%s", (_, text, message) => {
    expect(refusal(() => decode(text))).toMatch(message);
  });

  it("text that is not UTF-8, rather than to guess at it", () => {
    const [head, tail] = request({ datatype: "BYTES", data: ["?"] }).split("?");
    const body = Buffer.concat([Buffer.from(head!), Buffer.from([255]), Buffer.from(tail!)]);
    expect(refusal(() => decodeJsonRequest(body))).toMatch(/UTF-8/);
  });

  it("the same name twice among many", () => {
    const inputs = Array.from({ length: 100 }, (_, index) => ({ ...FP32, name: `x${index % 99}` }));
    expect(refusal(() => decode(JSON.stringify({ inputs })))).toMatch(/'x0'.*twice/);
  });
});

describe("extensions that are not served", () => {
  const unsupported = (text: string) =>
    expect(() => decode(text)).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));

  it("are refused, where ignoring them would change the answer", () => {
    const shared = { shared_memory_region: "r", shared_memory_byte_size: 4 };
    unsupported(request({ data: undefined, parameters: shared }));
    unsupported(request({}, { outputs: [{ name: "y", parameters: shared }] }));
    unsupported(request({}, { outputs: [{ name: "y", parameters: { classification: 2 } }] }));
  });
});

describe("a request", () => {
  it("may hold any number of brackets inside its strings", () => {
    const text = `"\\${"[".repeat(2 ** 20)}`;
    const { inputs } = decode(request({ datatype: "BYTES", data: [text] }));
    expect(String(inputs[0]?.data[0])).toBe(text);
  });

  it("takes null for id, parameters and outputs as if they were not there", () => {
    const more = { id: null, parameters: null, outputs: null };
    expect(decode(request({ parameters: null }, more))).toEqual(decode(request({})));
  });

  it.each([
    ["1e300", 1e300],
    ["-1e19", -1e19],
    ["1e18", 10n ** 18n],
    ["9007199254740993", 9007199254740993n],
    ["9007199254740993.5", 9007199254740994],
    ["0.5", 0.5],
  ])("keeps the parameter %s", (literal, value) => {
    const text = `{"parameters":{"n":${literal}},"inputs":[${JSON.stringify(FP32)}]}`;
    expect(decode(text).parameters.n).toBe(value);
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
    ["INT64", "1e19"],
    ["INT64", "1e300"],
    ["INT64", "1e400"],
    ["INT64", "9007199254740993.5"],
    ["INT64", "90071992547409935e-1"],
    ["UINT64", "1.8446744073709551616e19"],
    ["FP16", "65520"],
    ["FP16", "-100000000000000000000"],
    ["BF16", "3.3961775292304957e38"],
    ["BOOL", "1"],
    ["BYTES", "1"],
    ["BYTES", '"\\ud800"'],
  ])("of %s is not %s", (datatype, literal) => {
    expect(refusal(() => element(datatype, literal))).toMatch(/'x'.*element 0/);
  });

  it.each([
    ["INT64", "9007199254740993", 9007199254740993n],
    ["INT64", "-9223372036854775808", -(2n ** 63n)],
    ["INT64", "1e18", 10n ** 18n],
    ["INT64", "-9.007199254740993E+15", -9007199254740993n],
    ["INT64", "9007199254740993.0", 9007199254740993n],
    ["INT64", "90071992547409930e-1", 9007199254740993n],
    ["UINT64", "18446744073709551615", 2n ** 64n - 1n],
    ["UINT64", "1.8446744073709551615e19", 2n ** 64n - 1n],
    ["FP16", "65519.99", 0x7bff],
    ["BF16", "3.396e38", 0x7f7f],
    ["BF16", "1.00390625000001", 0x3f81],
    ["BF16", "1.00390625", 0x3f80],
    ["FP32", '"-Infinity"', Number.NEGATIVE_INFINITY],
    ["FP32", '"NaN"', Number.NaN],
    ["FP32", "100000000000000000000", Math.fround(1e20)],
    ["BOOL", "true", 1],
    ["INT8", "-0", 0],
  ])("of %s may be %s", (datatype, literal, value) => {
    expect(element(datatype, literal)).toEqual(value);
  });

  it.each(["FP16", "BF16", "FP32", "FP64"])(
    "of %s is checked the same beside integers that need all their digits",
    (datatype) => {
      const both = (literal: string) =>
        decode(
          `{"inputs":[{"name":"long","datatype":"INT64","shape":[1],"data":[9007199254740993]},` +
            `{"name":"x","datatype":"${datatype}","shape":[1],"data":[${literal}]}]}`,
        );
      expect(refusal(() => both("1e400"))).toMatch(/'x'.*element 0/);
      if (datatype === "FP16") expect(refusal(() => both("1e19"))).toMatch(/'x'.*element 0/);
      else expect(both("1e19").inputs[1]?.data[0]).toBe(element(datatype, "1e19"));
    },
  );
});

describe("readJsonElements", () => {
  it("asks for JSON with all digits, and is content then", () => {
    const read = (exact: boolean) => readJsonElements("INT64", [1], 1, [2 ** 60], "'x'", exact);
    expect(refusal(() => read(false))).toBe(UNSAFE_INTEGER.message);
    expect(refusal(() => read(true))).toMatch(/'x': element 0/);
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

  it("refuses data in both places, and BYTES that end early or late", () => {
    const both = request({ parameters: { binary_data_size: 4 } });
    const body = Buffer.concat([Buffer.from(both), Buffer.alloc(4)]);
    expect(refusal(() => decodeInferRequest(body, String(both.length)))).toMatch(/'x'.*both/);
    const strings = (count: number) => () => readTensorData("BYTES", count, Buffer.alloc(8), "'x'");
    expect(refusal(strings(1))).toMatch(/'x'.*4 bytes are left over/);
    expect(refusal(strings(3))).toMatch(/'x'.*3 elements.*hold 2/);
    expect(refusal(() => readTensorData("BYTES", 1, Buffer.alloc(3), "'x'"))).toMatch(/'x'.*beyond/);
    expect(refusal(() => readTensorData("BOOL", 1, Buffer.of(2), "'x'"))).toMatch(/'x'.*2/);
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
    ["BYTES of a shape above one element", 4, spec([3], "BYTES")],
  ])("refuses a raw body with %s (B5)", (_, length, signature) => {
    expect(refusal(() => decodeInferRequest(Buffer.alloc(length), "0", signature))).not.toBe("");
  });
});

describe("checkModelName", () => {
  it.each(["", ".", "a/b", "a\\b", "..", "a..b", "a\n", "a\u0085", "x".repeat(257)])("refuses %j", (name) => {
    expect(refusal(() => checkModelName(name, "model"))).toMatch(/model/);
  });

  it("gives a good name back", () => {
    expect(checkModelName("iris-1.0", "model")).toBe("iris-1.0");
  });
});
