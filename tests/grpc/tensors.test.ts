import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  DATATYPE_BYTES,
  type Datatype,
  elementCount,
  type Tensor,
  type TensorArrays,
} from "../../src/contracts/index.ts";
import { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService as service } from "../../src/grpc/generated/services.ts";
import { readInferRequest } from "../../src/grpc/infer-request.ts";
import { writeInferResponse } from "../../src/grpc/infer-response.ts";
import { hasTypedForm, writeTypedContents } from "../../src/grpc/typed-contents.ts";
import { decode, encode } from "../../src/grpc/wire.ts";
import { writeTensorData } from "../../src/v2/binary.ts";
import { codeName, IDENTITY, serveGrpc } from "../support/grpc.ts";

const { ModelInferRequest, ModelInferResponse } = inference;

/** The values at the edges of each datatype. */
const EDGES: TensorArrays = {
  BOOL: Uint8Array.of(0, 1),
  UINT8: Uint8Array.of(0, 1, 255),
  UINT16: Uint16Array.of(0, 65_535),
  UINT32: Uint32Array.of(0, 2 ** 32 - 1),
  UINT64: BigUint64Array.of(0n, 2n ** 53n + 1n, 2n ** 64n - 1n),
  INT8: Int8Array.of(-128, 0, 127),
  INT16: Int16Array.of(-32_768, -1, 32_767),
  INT32: Int32Array.of(-(2 ** 31), -1, 2 ** 31 - 1),
  INT64: BigInt64Array.of(-(2n ** 63n), -1n, 2n ** 53n + 1n, 2n ** 63n - 1n),
  FP16: Uint16Array.of(0, 0x3c00, 0x7c00, 0xfbff),
  BF16: Uint16Array.of(0, 0x3f80, 0xff80),
  FP32: Float32Array.of(0, -0, 0.1, 1e-45, -3.4028234663852886e38, Number.NaN, Infinity, -Infinity),
  FP64: Float64Array.of(-0, 0.1, 5e-324, Number.MAX_VALUE, Number.NaN, -Infinity),
  BYTES: [new Uint8Array(), Uint8Array.of(0, 255, 128), Buffer.from("naïve ✓")],
};
const DATATYPES = Object.keys(EDGES) as Datatype[];
const TYPED = DATATYPES.filter(hasTypedForm);

const tensorOf = (datatype: Datatype, data = EDGES[datatype], name = "x"): Tensor => ({
  name,
  datatype,
  shape: [data.length],
  data,
});

function requestOf(tensors: readonly Tensor[], raw: boolean): inference.ModelInferRequest.Init {
  return {
    modelName: "identity",
    id: "7",
    inputs: tensors.map(({ name, datatype, shape, data }) => ({
      name,
      datatype,
      shape,
      contents: raw ? undefined : writeTypedContents(datatype, data),
    })),
    rawInputContents: raw ? tensors.map(writeTensorData) : [],
  };
}

/** The bytes of an answer's output, from whichever form it came in. */
function bytesOf(response: inference.ModelInferResponse, index = 0): Buffer {
  const raw = response.rawOutputContents[index];
  if (raw) return Buffer.from(raw);
  const { name, datatype, shape, contents } = response.outputs[index]!;
  const back = readInferRequest(
    decode(ModelInferRequest, encode(ModelInferRequest, { inputs: [{ name, datatype, shape, contents }] })),
  );
  return Buffer.from(writeTensorData(back.inputs[0]!));
}

describe("over the wire", () => {
  test("every datatype comes back bit for bit, typed and raw alike, in the form it was asked in", async () => {
    await using server = await serveGrpc();
    for (const datatype of DATATYPES) {
      const sent = Buffer.from(writeTensorData(tensorOf(datatype)));
      for (const raw of TYPED.includes(datatype) ? [true, false] : [true]) {
        const reply = await server.client.unary(service.ModelInfer, requestOf([tensorOf(datatype)], raw));
        expect([datatype, codeName(reply.code), reply.details]).toEqual([datatype, "OK", "OK"]);
        expect(bytesOf(reply.response)).toEqual(sent);
        expect(reply.response.rawOutputContents).toHaveLength(raw ? 1 : 0);
        expect(reply.response.outputs[0]?.contents === null).toBe(raw);
      }
    }
  });

  test("an FP16 output makes a typed request's whole answer raw: there is no typed field for it", async () => {
    const outputs = [tensorOf("FP32"), tensorOf("FP16")];
    await using server = await serveGrpc({ halves: { ...IDENTITY, infer: async () => ({ outputs }) } });
    const { response } = await server.client.unary(service.ModelInfer, { modelName: "halves" });
    expect(response.rawOutputContents).toHaveLength(2);
    expect(response.outputs.map(({ contents }) => contents)).toEqual([null, null]);
    expect([bytesOf(response, 0), bytesOf(response, 1)]).toEqual(
      outputs.map((each) => Buffer.from(writeTensorData(each))),
    );
  });

  test("parameters keep their kinds and their exact values, in and out", async () => {
    let seen: unknown;
    const outputs = [{ ...tensorOf("BOOL"), parameters: { content_type: "np", big: 2n ** 63n } }];
    await using server = await serveGrpc({
      asks: {
        ...IDENTITY,
        async infer({ parameters, inputs, outputs: wanted }) {
          seen = { parameters, tensor: inputs[0]!.parameters, wanted };
          return { outputs, parameters: { n: 3, x: 0.5, low: -(2n ** 60n), ok: true } };
        },
      },
    });
    const { response } = await server.client.unary(service.ModelInfer, {
      modelName: "asks",
      parameters: {
        b: { boolParam: false },
        i: { int64Param: -5 },
        u: { uint64Param: 2n ** 63n },
        d: { doubleParam: 0.25 },
        s: { stringParam: "" },
      },
      inputs: [{ name: "x", datatype: "BOOL", shape: [0], parameters: { p: { int64Param: 2n ** 62n } } }],
      outputs: [{ name: "y", parameters: { level: { int64Param: 2 } } }],
    });
    expect(seen).toEqual({
      parameters: { b: false, i: -5, u: 2n ** 63n, d: 0.25, s: "" },
      tensor: { p: 2n ** 62n },
      wanted: [{ name: "y", parameters: { level: 2 } }],
    });
    const refused = await server.client.unary(service.ModelInfer, {
      modelName: "asks",
      inputs: [{ name: "x", datatype: "BOOL", shape: [0] }],
      outputs: [{ name: "y", parameters: { classification: { int64Param: 2 } } }],
    });
    expect(codeName(refused.code)).toBe("UNIMPLEMENTED");
    expect(response.parameters).toMatchObject({
      n: { int64Param: 3n },
      x: { doubleParam: 0.5 },
      low: { int64Param: -(2n ** 60n) },
      ok: { boolParam: true },
    });
    expect(response.outputs[0]?.parameters).toMatchObject({
      content_type: { stringParam: "np" },
      big: { uint64Param: 2n ** 63n },
    });
  });
});

/** Any tensor of a datatype, up to 20 elements. A NaN's payload is not ours to keep: typed floats are numbers. */
function arbitrary(datatype: Datatype): fc.Arbitrary<Tensor> {
  if (datatype === "BYTES")
    return fc.array(fc.uint8Array(), { maxLength: 20 }).map((data) => tensorOf("BYTES", data));
  if (datatype === "FP32") return fc.float32Array({ maxLength: 20 }).map((data) => tensorOf("FP32", data));
  if (datatype === "FP64") return fc.float64Array({ maxLength: 20 }).map((data) => tensorOf("FP64", data));
  const size = DATATYPE_BYTES[datatype];
  const bytes = fc
    .uint8Array({ maxLength: 20 * size })
    .map((all) => all.slice(0, all.length - (all.length % size)));
  return bytes.map((given) => {
    const plain = datatype === "BOOL" ? given.map((value) => value & 1) : given;
    const data = new (EDGES[datatype].constructor as new (buffer: ArrayBuffer) => TensorArrays["FP32"])(
      plain.buffer,
    );
    return tensorOf(datatype, data);
  });
}

/** A request names each input once. */
const named = (tensors: readonly Tensor[]) => tensors.map((each, index) => ({ ...each, name: `x${index}` }));

describe("decode(encode(x)) = x", () => {
  test.each(TYPED)("typed %s", (datatype) => {
    fc.assert(
      fc.property(fc.array(arbitrary(datatype), { maxLength: 3 }).map(named), (tensors) => {
        const message = decode(ModelInferRequest, encode(ModelInferRequest, requestOf(tensors, false)));
        const back = readInferRequest(message).inputs;
        expect(back.map(comparable)).toEqual(tensors.map(comparable));
      }),
    );
  });

  test.each(DATATYPES)("raw %s", (datatype) => {
    fc.assert(
      fc.property(fc.array(arbitrary(datatype), { minLength: 1, maxLength: 3 }).map(named), (tensors) => {
        const message = decode(ModelInferRequest, encode(ModelInferRequest, requestOf(tensors, true)));
        expect(readInferRequest(message).inputs.map(comparable)).toEqual(tensors.map(comparable));
      }),
    );
  });

  test("an answer, typed and raw", () => {
    const all = fc.tuple(...TYPED.map(arbitrary));
    fc.assert(
      fc.property(all, fc.boolean(), (outputs, raw) => {
        const written = writeInferResponse({ modelName: "m", modelVersion: "1", outputs }, raw);
        const message = decode(ModelInferResponse, encode(ModelInferResponse, written));
        outputs.forEach((output, index) => {
          expect(bytesOf(message, index)).toEqual(Buffer.from(writeTensorData(output)));
        });
      }),
    );
  });
});

/** What is compared are the bytes: -0 counts. */
function comparable({ name, datatype, shape, data }: Tensor) {
  expect(elementCount(shape)).toBe(data.length);
  return { name, datatype, shape, bytes: Buffer.from(writeTensorData({ datatype, data })) };
}

describe("what does not fit is refused, naming the input", () => {
  const base = { name: "x", datatype: "FP32", shape: [2] };
  const raw = [Buffer.alloc(8)];
  const cases: [string, inference.ModelInferRequest.Init, RegExp][] = [
    [
      "both forms",
      { inputs: [{ ...base, contents: { fp32Contents: [1, 2] } }], rawInputContents: raw },
      /'x' has both/,
    ],
    [
      "empty contents beside raw",
      { inputs: [{ ...base, contents: {} }], rawInputContents: raw },
      /'x' has both/,
    ],
    [
      "too few raw contents",
      { inputs: [base, { ...base, name: "z" }], rawInputContents: raw },
      /1 elements for 2 inputs/,
    ],
    [
      "too many raw contents",
      { inputs: [base], rawInputContents: [...raw, ...raw] },
      /2 elements for 1 inputs/,
    ],
    [
      "raw bytes of another length",
      { inputs: [{ ...base, shape: [3] }], rawInputContents: raw },
      /'x': 3 FP32 .* 12 bytes/,
    ],
    [
      "too few elements",
      { inputs: [{ ...base, contents: { fp32Contents: [1] } }] },
      /'x': .* 2 elements.* has 1/,
    ],
    ["no contents at all", { inputs: [base] }, /fp32_contents has 0/],
    [
      "the wrong field",
      { inputs: [{ ...base, contents: { fp64Contents: [1, 2] } }] },
      /belong into fp32_contents/,
    ],
    [
      "a second field",
      { inputs: [{ ...base, contents: { fp32Contents: [1, 2], intContents: [3] } }] },
      /not into int_contents/,
    ],
    ["an unknown datatype", { inputs: [{ ...base, datatype: "FP8" }] }, /datatype "FP8" is not one of/],
    ["a negative dimension", { inputs: [{ ...base, shape: [-2, -1] }] }, /has the dimension -2/],
    ["a huge dimension", { inputs: [{ ...base, shape: [2n ** 62n] }] }, /has the dimension/],
    [
      "an overflowing shape",
      { inputs: [{ ...base, shape: [2n ** 40n, 2n ** 40n] }], rawInputContents: raw },
      /'x'/,
    ],
    [
      "300 in INT8",
      { inputs: [{ ...base, datatype: "INT8", contents: { intContents: [1, 300] } }] },
      /element 1 is 300/,
    ],
    [
      "-1 in UINT16",
      { inputs: [{ ...base, datatype: "UINT16", contents: { intContents: [1, -1] } }] },
      /uint_contents/,
    ],
    [
      "70000 in UINT16",
      { inputs: [{ ...base, datatype: "UINT16", contents: { uintContents: [1, 70_000] } }] },
      /70000/,
    ],
    [
      "typed FP16",
      { inputs: [{ ...base, datatype: "FP16", contents: { fp32Contents: [1, 2] } }] },
      /raw_input_contents/,
    ],
    ["typed BF16", { inputs: [{ ...base, datatype: "BF16" }] }, /raw_input_contents/],
    [
      "2 in a raw BOOL",
      { inputs: [{ ...base, datatype: "BOOL" }], rawInputContents: [Buffer.of(1, 2)] },
      /BOOL is 0 or 1/,
    ],
    [
      "a cut-off raw BYTES",
      { inputs: [{ ...base, datatype: "BYTES" }], rawInputContents: [Buffer.of(9, 0, 0, 0)] },
      /'x'/,
    ],
    ["a parameter without a value", { inputs: [], parameters: { p: {} } }, /parameter 'p' has no value/],
  ];

  test.each(cases)("%s", async (_, request, message) => {
    await using server = await serveGrpc();
    const { code, details } = await server.client.unary(service.ModelInfer, {
      modelName: "identity",
      ...request,
    });
    expect([codeName(code), details]).toEqual(["INVALID_ARGUMENT", expect.stringMatching(message)]);
  });
});
