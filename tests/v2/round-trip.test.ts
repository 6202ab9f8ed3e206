import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Datatype, elementCount, isCapstanError, type Tensor } from "../../src/contracts/index.ts";
import {
  binaryByteLength,
  decodeInferRequest,
  decodeJsonRequest,
  encodeInferResponse,
  fromBfloat16,
  fromFloat16,
  readTensorData,
  toBfloat16,
  toFloat16,
  writeFloat32,
  writeTensorData,
} from "../../src/v2/index.ts";

const shapes = fc.array(fc.nat({ max: 4 }), { maxLength: 3 });
const bytes = (size: number) => fc.uint8Array({ minLength: size, maxLength: size });

/** Tensors of random bits, but for NaN, of which JSON keeps only one. */
function numeric(datatype: Datatype, size: number): fc.Arbitrary<Tensor> {
  return shapes.chain((shape) =>
    bytes(elementCount(shape) * size).map((raw) => {
      const bits = datatype === "BOOL" ? raw.map((byte) => byte & 1) : raw;
      return { name: "x", datatype, shape, data: readTensorData(datatype, elementCount(shape), bits, "x") };
    }),
  );
}

const SIZES = { BOOL: 1, UINT8: 1, UINT16: 2, UINT32: 4, UINT64: 8, INT8: 1, INT16: 2, INT32: 4, INT64: 8 };
const FLOATS = { FP16: 2, BF16: 2, FP32: 4, FP64: 8 };
const NAN_BITS: Partial<Record<Datatype, (bits: number) => boolean>> = {
  FP16: (bits) => (bits & 0x7fff) > 0x7c00,
  BF16: (bits) => (bits & 0x7fff) > 0x7f80,
};

const isNaNOf = (datatype: Datatype, value: number) => NAN_BITS[datatype]?.(value) ?? Number.isNaN(value);

const withoutNaN = ({ datatype, data }: Tensor) =>
  !(data as Float64Array).some((value) => isNaNOf(datatype, value));

const byteStrings = shapes.chain((shape) =>
  fc
    .array(fc.uint8Array(), { minLength: elementCount(shape), maxLength: elementCount(shape) })
    .map((data): Tensor => ({ name: "x", datatype: "BYTES", shape, data })),
);
const texts = fc
  .array(fc.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text)))
  .map((data): Tensor => ({ name: "x", datatype: "BYTES", shape: [data.length], data }));

const TENSORS: [string, fc.Arbitrary<Tensor>][] = [
  ...Object.entries(SIZES).map(([name, size]): [string, fc.Arbitrary<Tensor>] => [
    name,
    numeric(name as Datatype, size),
  ]),
  ...Object.entries(FLOATS).map(([name, size]): [string, fc.Arbitrary<Tensor>] => [
    name,
    numeric(name as Datatype, size).filter(withoutNaN),
  ]),
];

const bits = ({ datatype, data }: Tensor) => Buffer.from(writeTensorData({ datatype, data })).toString("hex");

/** The JSON of a response to one output, read back as a request. */
function throughJson(tensor: Tensor): Tensor {
  const response = { modelName: "m", modelVersion: "1", outputs: [tensor] };
  const { body, headerLength } = encodeInferResponse(response, { parameters: {}, inputs: [] });
  expect(headerLength).toBeUndefined();
  const { outputs } = JSON.parse(Buffer.from(body).toString()) as { outputs: Tensor[] };
  const text = Buffer.from(body).toString().replace('"outputs":', '"inputs":');
  expect(outputs).toHaveLength(1);
  return decodeJsonRequest(Buffer.from(text)).inputs[0]!;
}

/** A binary response, read back as a binary request. */
function throughBinary(tensor: Tensor): Tensor {
  const response = { modelName: "m", modelVersion: "1", outputs: [tensor] };
  const asked = { parameters: { binary_data_output: true }, inputs: [] };
  const { body, headerLength, contentType } = encodeInferResponse(response, asked);
  expect(contentType).toBe("application/octet-stream");
  const json = Buffer.from(body).subarray(0, headerLength).toString().replace('"outputs":', '"inputs":');
  const whole = Buffer.concat([Buffer.from(json), Buffer.from(body).subarray(headerLength)]);
  return decodeInferRequest(whole, String(Buffer.byteLength(json))).inputs[0]!;
}

describe("decode(encode(x)) = x", () => {
  it.each([...TENSORS, ["BYTES of text", texts] as const])("%s in JSON", (_, tensors) => {
    fc.assert(
      fc.property(tensors, (tensor) => {
        const back = throughJson(tensor);
        expect([back.datatype, back.shape, bits(back)]).toEqual([
          tensor.datatype,
          tensor.shape,
          bits(tensor),
        ]);
      }),
    );
  });

  it.each([...TENSORS, ["BYTES", byteStrings] as const])("%s in the binary layout", (_, tensors) => {
    fc.assert(
      fc.property(tensors, (tensor) => {
        const back = throughBinary(tensor);
        expect([back.datatype, back.shape, bits(back)]).toEqual([
          tensor.datatype,
          tensor.shape,
          bits(tensor),
        ]);
        expect(binaryByteLength(tensor)).toBe(writeTensorData(tensor).length);
      }),
    );
  });

  it("BYTES that are not UTF-8 go as base64 in JSON, and say so", () => {
    const tensor: Tensor = {
      name: "x",
      datatype: "BYTES",
      shape: [2],
      data: [Buffer.from([255]), Buffer.from("a")],
    };
    const { data, parameters } = throughJson(tensor);
    expect((data as Uint8Array[]).map(String)).toEqual(
      [Buffer.from("/w=="), Buffer.from("YQ==")].map(String),
    );
    expect(parameters).toEqual({ content_type: "base64" });
  });

  it("integers of every length", () => {
    const powers = Array.from({ length: 10 }, (_, exponent) => 10 ** exponent);
    const values = [0, ...powers.flatMap((power) => [power - 1, power, power + 1]), 2 ** 31, 2 ** 32 - 1];
    const data = Uint32Array.from(values);
    expect(throughJson({ name: "x", datatype: "UINT32", shape: [data.length], data }).data).toEqual(data);
  });

  it("more than fits one buffer", () => {
    const data = Float32Array.from({ length: 50_000 }, (_, index) => index / 7);
    const tensor: Tensor = { name: "x", datatype: "FP32", shape: [2, 25_000], data };
    expect(throughJson(tensor).data).toEqual(data);
  });

  it("numbers at any byte offset", () => {
    fc.assert(
      fc.property(fc.nat({ max: 8 }), fc.float({ noNaN: true }), (offset, value) => {
        const whole = Buffer.alloc(offset + 8);
        whole.writeFloatLE(value, offset);
        const [read] = readTensorData("FP32", 1, whole.subarray(offset, offset + 4), "x");
        expect(read).toBe(value);
      }),
    );
  });
});

describe("writeFloat32", () => {
  const buffer = Buffer.alloc(64);
  const view = new DataView(new ArrayBuffer(4));
  const written = (value: number) => buffer.toString("latin1", 0, writeFloat32(buffer, 0, value));

  it("writes text that a JSON parser and binary32 bring back to the same value", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffffffff }), (pattern) => {
        view.setUint32(0, pattern);
        const value = view.getFloat32(0);
        fc.pre(Number.isFinite(value));
        expect(Math.fround(JSON.parse(written(value)) as number)).toBe(value);
      }),
      { numRuns: 20_000 },
    );
  });

  it.each([
    [0, "0"],
    [-0, "-0.0"],
    [5.1, "5.1"],
    [-0.25, "-0.25"],
    [16777216, "16777216"],
    [0.0009765625, "0.0009765625"],
  ])("writes %d with few digits", (value, text) => {
    expect(written(Math.fround(value))).toBe(text);
  });

  it.each([2 ** -149, 2 ** -126, 3.4028234663852886e38, 1e-10, 1e22])("brings %d back", (value) => {
    expect(Math.fround(Number(written(Math.fround(value))))).toBe(Math.fround(value));
  });
});

describe.each([
  ["FP16", toFloat16, fromFloat16],
  ["BF16", toBfloat16, fromBfloat16],
] as const)("%s", (_, toBits, fromBits) => {
  /** A number at, or hardly beside, the middle of two neighbours, where double rounding goes wrong. */
  const nearMiddle = fc
    .tuple(fc.integer({ min: 1, max: 0x7bfe }), fc.constantFrom(-1, 0, 1))
    .map(([lower, side]) => {
      const middle = (fromBits(lower) + fromBits(lower + 1)) / 2;
      return middle * (1 + side * Number.EPSILON);
    });
  const anywhere = fc.integer({ min: 1, max: 0x7bfe }).chain((lower) => {
    return fc.double({ min: fromBits(lower), max: fromBits(lower + 1), noNaN: true });
  });

  it("is the nearest there is, of two the even one", () => {
    fc.assert(
      fc.property(fc.oneof(nearMiddle, anywhere), (value) => {
        const bits = toBits(value);
        const distance = (other: number) => Math.abs(fromBits(other) - value);
        for (const neighbour of [bits - 1, bits + 1]) {
          expect(distance(bits)).toBeLessThanOrEqual(distance(neighbour));
          if (distance(bits) === distance(neighbour)) expect(bits % 2).toBe(0);
        }
        expect(toBits(-value)).toBe(bits | 0x8000);
      }),
      { numRuns: 1000 },
    );
  });

  it("keeps what is no finite number", () => {
    for (const value of [Number.NaN, Infinity, -Infinity]) expect(fromBits(toBits(value))).toBe(value);
  });
});

describe("JSON data", () => {
  const nest = (values: unknown[], [, ...inner]: readonly number[]): unknown[] => {
    if (inner.length === 0) return values;
    const size = elementCount(inner);
    const rows = size === 0 ? 0 : values.length / size;
    return Array.from({ length: rows }, (_, row) => nest(values.slice(row * size, (row + 1) * size), inner));
  };

  it("means the same flat and nested", () => {
    const filled = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(filled, (shape) => {
        const flat = Array.from({ length: elementCount(shape) }, (_, index) => index);
        const decode = (data: unknown[]) =>
          decodeJsonRequest(
            Buffer.from(JSON.stringify({ inputs: [{ name: "x", datatype: "INT32", shape, data }] })),
          );
        expect(decode(nest(flat, shape))).toEqual(decode(flat));
      }),
    );
  });
});

describe("mutated bodies", () => {
  const json = JSON.stringify({
    id: "1",
    inputs: [
      { name: "a", datatype: "FP32", shape: [2, 1], data: [[1.5], ["NaN"]] },
      { name: "b", datatype: "BYTES", shape: [1], parameters: { binary_data_size: 6 } },
    ],
    outputs: [{ name: "y", parameters: { binary_data: true } }],
  });
  const body = Buffer.concat([Buffer.from(json), Buffer.from([2, 0, 0, 0, 104, 105])]);
  const change = fc.record({ at: fc.nat({ max: body.length - 1 }), byte: fc.nat({ max: 255 }) });

  it("are decoded or refused as the caller's fault", () => {
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat({ max: 4 }), (changes, cut) => {
        const mutated = Buffer.from(body.subarray(0, body.length - cut));
        for (const { at, byte } of changes) if (at < mutated.length) mutated[at] = byte;
        expect(outcome(() => decodeInferRequest(mutated, String(json.length)))).toMatch(
          /^(decoded|INVALID_ARGUMENT)$/,
        );
      }),
      { numRuns: 3000 },
    );
  });
});

function outcome(decode: () => unknown): string {
  try {
    decode();
    return "decoded";
  } catch (thrown) {
    return isCapstanError(thrown) ? thrown.code : `threw ${String(thrown)}`;
  }
}
