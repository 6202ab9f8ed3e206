import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import mlflow from "../../runtimes/mlflow/index.ts";
import onnx from "../../runtimes/onnx/index.ts";
import {
  type Call,
  type InferRequest,
  type ModelSpec,
  type Parameters,
  type Runtime,
  type Tensor,
  textTensor,
} from "../../src/contracts/index.ts";
import { runtimeContract, testCall, testHost } from "../../src/testing/index.ts";
import { column, type MlModel, tensor, writeMlModel } from "../support/mlflow-model.ts";
import { arithmetic, identity } from "../support/onnx-graphs.ts";

const temporary = await mkdtemp(join(tmpdir(), "capstan-mlflow-"));
afterAll(() => rm(temporary, { recursive: true }));

const asked: unknown[] = [];
const host = testHost({
  async runtime(name, model, options, call) {
    asked.push({ name, options });
    const parsed = onnx.options.safeParse(options);
    if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
    return onnx.load(model, parsed.data, host, call);
  },
});

async function spec(
  graph: Uint8Array,
  model: MlModel = {},
  more: Partial<ModelSpec> = {},
): Promise<ModelSpec> {
  const folder = await mkdtemp(join(temporary, "model-"));
  await writeMlModel(folder, graph, model);
  return { name: "sample", version: "1", folder, artifact: folder, ...more };
}

async function open(
  graph: Uint8Array,
  model: MlModel = {},
  more: Partial<ModelSpec> = {},
  call?: Call,
): Promise<Runtime> {
  return mlflow.load(await spec(graph, model, more), { onnx: {} }, host, call ?? testCall());
}

const request = (inputs: Tensor[], parameters: Parameters = {}): InferRequest => ({ parameters, inputs });
const f64 = (name: string, ...data: number[]): Tensor => ({
  name,
  datatype: "FP64",
  shape: [data.length],
  data: Float64Array.from(data),
});
const f32 = (name: string, ...data: number[]): Tensor => ({
  name,
  datatype: "FP32",
  shape: [data.length],
  data: Float32Array.from(data),
});
const i64 = (name: string, ...data: bigint[]): Tensor => ({
  name,
  datatype: "INT64",
  shape: [data.length],
  data: BigInt64Array.from(data),
});
const i32 = (name: string, ...data: number[]): Tensor => ({
  name,
  datatype: "INT32",
  shape: [data.length],
  data: Int32Array.from(data),
});

/** The first output for these inputs. */
async function answer(runtime: Runtime, ...inputs: Tensor[]): Promise<Tensor> {
  const { outputs } = await runtime.infer(request(inputs), testCall());
  return outputs[0]!;
}

const MATRIX = identity("FP32", ["n", 2]);
const COLUMNS = [column("a", "double"), column("b", "double")];

describe("the contract of runtimes", () => {
  const cases = runtimeContract(mlflow, {
    host,
    model: () => spec(MATRIX, { inputs: COLUMNS }),
    request: () => request([f64("a", 1, 2), f64("b", 3, 4)]),
    badRequest: () => request([f64("a", 1, 2)]),
    missing: () => ({
      name: "sample",
      version: "1",
      folder: temporary,
      artifact: join(temporary, "missing"),
    }),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("columns into one matrix", () => {
  it("are shown, put in the signature's order and rounded to the graph's floats", async () => {
    await using runtime = await open(MATRIX, { inputs: COLUMNS });
    const parameters = { content_type: "np" };
    expect(runtime.inputs).toEqual([
      { name: "a", datatype: "FP64", shape: [-1, 1], parameters },
      { name: "b", datatype: "FP64", shape: [-1, 1], parameters },
    ]);
    expect(runtime.outputs).toMatchObject([{ name: "y", datatype: "FP32" }]);
    const response = await runtime.infer(
      request([f64("b", 3, 4), f64("other", 1), f64("a", 0.1, 2)]),
      testCall(),
    );
    expect(response.parameters).toEqual({ content_type: "pd" });
    expect(response.outputs[0]).toMatchObject({ shape: [2, 2], data: Float32Array.of(0.1, 3, 2, 4) });
  });

  it("are told apart by place where they have no names", async () => {
    await using runtime = await open(MATRIX, { inputs: [{ type: "double" }, { type: "long" }] });
    expect(runtime.inputs!.map(({ name }) => name)).toEqual(["input-0", "input-1"]);
    expect((await answer(runtime, f64("x", 1), i64("y", 2n))).data).toEqual(Float32Array.of(1, 2));
  });

  it("may be left out where they are optional: NaN", async () => {
    for (const note of [column("b", "double", false), { type: "float", name: "b", optional: true }]) {
      await using runtime = await open(MATRIX, { inputs: [COLUMNS[0]!, note] });
      expect(runtime.inputs![1]).toMatchObject({ optional: true });
      expect((await answer(runtime, f64("a", 1, 2))).data).toEqual(
        Float32Array.of(1, Number.NaN, 2, Number.NaN),
      );
    }
    const integers = { inputs: [column("a", "long"), column("b", "long", false)] };
    await using runtime = await open(identity("INT64", ["n", 2]), integers);
    await expect(answer(runtime, i64("a", 1n))).rejects.toThrow(
      "'b' is left out, and the ONNX model's INT64 cannot hold",
    );
  });

  it("hold text, or one value a row", async () => {
    await using text = await open(identity("BYTES", ["n", 1]), { inputs: [column("s", "string")] });
    expect((await answer(text, textTensor("s", ["é"]))).data).toEqual([Buffer.from("é")]);
    await using flat = await open(identity("FP32", ["n"]), { inputs: [column("a", "boolean")] });
    const bool: Tensor = { name: "a", datatype: "BOOL", shape: [2, 1], data: Uint8Array.of(1, 0) };
    expect(await answer(flat, bool)).toMatchObject({ shape: [2], data: Float32Array.of(1, 0) });
  });
});

describe("what MLflow's enforcement allows", () => {
  const allowed: [string, Tensor, Tensor["data"]][] = [
    ["double", f32("a", 0.5), Float64Array.of(0.5)],
    ["double", i32("a", 3), Float64Array.of(3)],
    ["double", i64("a", 0n, 1n), Float64Array.of(0, 1)],
    ["long", i32("a", 3), BigInt64Array.of(3n)],
    [
      "long",
      { ...i32("a", 3), datatype: "UINT32", data: Uint32Array.of(2 ** 32 - 1) },
      BigInt64Array.of(2n ** 32n - 1n),
    ],
    ["integer", { ...i32("a", 3), datatype: "INT8", data: Int8Array.of(-3) }, Int32Array.of(-3)],
  ];
  const graphs = {
    double: "FP64",
    long: "INT64",
    integer: "INT32",
    float: "FP32",
    string: "BYTES",
    boolean: "BOOL",
  } as const;

  it.each(allowed)("%s from %o", async (type, given, data) => {
    await using runtime = await open(identity(graphs[type as "double"], ["n", 1]), {
      inputs: [column("a", type)],
    });
    expect((await answer(runtime, given)).data).toEqual(data);
  });

  const refused: [string, Tensor][] = [
    ["float", f64("a", 1)],
    ["double", i64("a", 2n)],
    ["integer", i64("a", 1n)],
    ["long", f64("a", 1)],
    ["string", i32("a", 1)],
    ["boolean", i32("a", 1)],
    ["double", textTensor("a", ["1"])],
    ["double", { ...f32("a", 1), datatype: "FP16", data: Uint16Array.of(1) }],
  ];

  it.each(refused)("and %s not from %o", async (type, given) => {
    await using runtime = await open(identity(graphs[type as "double"], ["n", 1]), {
      inputs: [column("a", type)],
    });
    await expect(answer(runtime, given)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: `Input 'a': ${given.datatype} cannot safely become the signature's ${graphs[type as "double"]}`,
    });
  });

  it("keeps integers exact on their way into a graph of floats", async () => {
    await using runtime = await open(identity("FP32", ["n", 1]), { inputs: [column("a", "long")] });
    expect((await answer(runtime, i64("a", 2n ** 24n))).data).toEqual(Float32Array.of(2 ** 24));
    await expect(answer(runtime, i64("a", 2n ** 24n + 1n))).rejects.toThrow(
      "16777217 is not a value that the model's FP32 holds",
    );
  });

  it("refuses what is no column, and columns of unequal length", async () => {
    await using runtime = await open(MATRIX, { inputs: COLUMNS });
    const wide = { ...f64("b", 1, 2), shape: [1, 2] };
    await expect(answer(runtime, f64("a", 1), wide)).rejects.toThrow("Input 'b': shape [1,2] does not fit");
    await expect(answer(runtime, f64("a", 1), f64("b", 1, 2))).rejects.toThrow(
      "'b' has 2 rows, and 'a' has 1",
    );
    await expect(answer(runtime)).rejects.toThrow("The model also needs the inputs 'a', 'b'");
  });

  it("checks the parameters that the signature names", async () => {
    const params = [
      { name: "n", type: "long", default: 1, shape: null },
      { name: "x", type: "double", default: 1, shape: null },
      { name: "when", type: "datetime", default: null, shape: null },
      { name: "how", type: "string", default: null, shape: null },
      { name: "yes", type: "boolean", default: null, shape: null },
    ];
    await using runtime = await open(MATRIX, { inputs: COLUMNS, params });
    const infer = (parameters: Parameters) =>
      runtime.infer(request([f64("a", 1), f64("b", 1)], parameters), testCall());
    await infer({ n: 3, x: 2, when: "2024-01-01", how: "so", yes: true, other: "v" });
    for (const [name, value] of [
      ["n", 1.5],
      ["x", "1"],
      ["when", "never"],
      ["how", 1],
      ["yes", "no"],
    ] as const) {
      await expect(infer({ [name]: value })).rejects.toThrow(
        `Parameter '${name}' is "${value}", and the signature has`,
      );
    }
  });
});

describe("columns and tensors by name", () => {
  it("go to the inputs of their names; others are ignored", async () => {
    const inputs = [column("b", "float"), column("a", "float"), column("unused", "string", false)];
    await using runtime = await open(arithmetic(), { inputs });
    const answered = await answer(runtime, f32("a", 1), { ...f32("b", 2), shape: [1, 1] });
    expect(answered).toMatchObject({ name: "sum", shape: [1], data: Float32Array.of(3) });
  });

  it("take optional columns as NaN, and make columns of flat inputs", async () => {
    await using runtime = await open(arithmetic(), {
      inputs: [column("a", "float"), column("b", "float", false)],
    });
    expect((await answer(runtime, f32("a", 1))).data).toEqual(Float32Array.of(Number.NaN));
  });

  it("must have the signature's datatype and shape as tensors", async () => {
    await using runtime = await open(arithmetic(), {
      inputs: [tensor("float32", [-1], "a"), tensor("float32", [-1], "b")],
    });
    const response = await runtime.infer(request([f32("a", 1), f32("b", 2)]), testCall());
    expect(response.parameters).toEqual({ content_type: "dict" });
    await expect(answer(runtime, f32("a", 1), f64("b", 2))).rejects.toThrow(
      "datatype FP64 is given, and the signature has FP32",
    );
    await expect(answer(runtime, f32("a", 1), { ...f32("b", 2), shape: [1, 1] })).rejects.toThrow(
      "does not fit",
    );
  });

  it("are one tensor of any name without names, rounded like MLflow's from float64", async () => {
    await using runtime = await open(MATRIX, { inputs: [tensor("float64", [-1, 2])] });
    expect(runtime.inputs).toMatchObject([{ name: "input-0", datatype: "FP64", shape: [-1, 2] }]);
    expect((await answer(runtime, { ...f64("any", 0.1, 2), shape: [1, 2] })).data).toEqual(
      Float32Array.of(0.1, 2),
    );
  });
});

describe("what is loaded", () => {
  it("is the file that the MLmodel names, with its session options under those of the settings", async () => {
    const session = { intra_op_num_threads: 2, inter_op_num_threads: 0, graph_optimization_level: 1 };
    const flavors = { onnx: { data: "./model.onnx", onnx_session_options: session } };
    const model = await spec(MATRIX, { flavors });
    const artifact = join(model.folder, "MLmodel");
    await using runtime = await mlflow.load(
      { ...model, artifact },
      { onnx: { intra_op_threads: 3 } },
      host,
      testCall(),
    );
    expect(asked.at(-1)).toEqual({
      name: "onnx",
      options: { intra_op_threads: 3, graph_optimization: "basic" },
    });
    expect(runtime.inputs).toEqual([{ name: "x", datatype: "FP32", shape: [-1, 2] }]);
  });

  it("keeps the settings' inputs without a signature, and drops them with one, saying so", async () => {
    const inputs = [
      { name: "x", datatype: "FP32", shape: [-1, 2], parameters: { content_type: "np" } },
    ] as const;
    await using plain = await open(MATRIX, {}, { inputs });
    expect(plain.inputs).toEqual(inputs);
    const warnings: string[] = [];
    const log = { ...testCall().log, warn: (_: object, message: string) => warnings.push(message) };
    await using signed = await open(MATRIX, { inputs: COLUMNS }, { inputs }, testCall({ log }));
    expect(signed.inputs).toHaveLength(2);
    expect(warnings).toEqual([expect.stringContaining("inputs in model-settings.json have no effect")]);
  });

  const tensors = (...names: string[]) => names.map((name) => tensor("float32", [-1], name));
  const refusals: [string, Uint8Array, MlModel, string][] = [
    [
      "Python alone",
      MATRIX,
      { flavors: { sklearn: {}, python_function: {} } },
      "its flavours are sklearn, python_function, which are Python.*onnx.save_model.*remote",
    ],
    ["no flavours", MATRIX, { flavors: null }, "names no flavors"],
    ["a file elsewhere", MATRIX, { flavors: { onnx: { data: "../model.onnx" } } }, "outside the folder"],
    [
      "another width",
      MATRIX,
      { inputs: [COLUMNS[0]!] },
      "the signature has 1 columns, and the ONNX input 'x' takes 2",
    ],
    [
      "text for numbers",
      MATRIX,
      { inputs: [COLUMNS[0]!, column("b", "string")] },
      "input 'b' is BYTES, and the ONNX model takes FP32 in 'x'",
    ],
    ["dates", MATRIX, { inputs: [COLUMNS[0]!, column("b", "datetime")] }, "input 'b' is of type datetime"],
    [
      "lists",
      MATRIX,
      { inputs: [{ type: "array", name: "b", items: { type: "double" } }] },
      "'b' is of type array",
    ],
    ["numpy dates", MATRIX, { inputs: [tensor("datetime64[ns]", [-1], "x")] }, "'x' is of type datetime64"],
    [
      "a missing name",
      arithmetic(),
      { inputs: tensors("a") },
      "the ONNX model takes 'b', and the signature has 'a'",
    ],
    [
      "one for two",
      arithmetic(),
      { inputs: [tensor("float32", [-1])] },
      "have no names, and the ONNX model has several: 'a', 'b'",
    ],
    [
      "an input of open rank",
      identity("FP32"),
      { inputs: [tensor("float32", [-1])] },
      "leaves the rank of an input open",
    ],
  ];

  it.each(refusals)("is not: %s", async (_, graph, model, message) => {
    await expect(open(graph, model)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });

  it("is not: a folder without MLmodel, files that are none, no uri", async () => {
    const model = await spec(MATRIX);
    const load = (more: Partial<ModelSpec>) =>
      mlflow.load({ ...model, ...more }, { onnx: {} }, host, testCall());
    await expect(load({ artifact: undefined })).rejects.toThrow("parameters.uri is missing");
    await expect(load({ artifact: temporary })).rejects.toThrow("there is no MLmodel file in");
    const write = (text: string) => writeFile(join(model.folder, "MLmodel"), text);
    await write("flavors: [");
    await expect(load({})).rejects.toThrow("MLmodel cannot be read");
    await write("flavors: { onnx: { data: model.onnx } }\nsignature: { inputs: '{' }");
    await expect(load({})).rejects.toThrow("is not JSON");
    await write("flavors: { onnx: {} }\nsignature: { inputs: '{}' }");
    await expect(load({})).rejects.toThrow("is not a list");
  });
});
