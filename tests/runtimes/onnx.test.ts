import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import onnx from "../../runtimes/onnx/index.ts";
import { onnxOptions } from "../../runtimes/onnx/options.ts";
import {
  type Datatype,
  type InferRequest,
  type ModelSpec,
  type Runtime,
  type Tensor,
  textTensor,
} from "../../src/contracts/index.ts";
import { runtimeContract, testCall, testHost } from "../../src/testing/index.ts";
import * as graphs from "../support/onnx-graphs.ts";

const { onnxSpec } = graphs;

async function load(spec: ModelSpec, options: object = {}): Promise<Runtime> {
  return onnx.load(spec, onnxOptions.parse(options), testHost(), testCall());
}

function request(...inputs: Tensor[]): InferRequest {
  return { parameters: {}, inputs };
}

function fp32(name: string, values: number[], shape = [values.length]): Tensor {
  return { name, datatype: "FP32", shape, data: Float32Array.from(values) };
}

async function infer(runtime: Runtime, ...inputs: Tensor[]): Promise<readonly Tensor[]> {
  return (await runtime.infer(request(...inputs), testCall())).outputs;
}

describe("contract", () => {
  const cases = runtimeContract(onnx, {
    model: () => onnxSpec(graphs.arithmetic()),
    request: () => request(fp32("a", [1, 2]), fp32("b", [3, 4])),
    badRequest: () => request(fp32("a", [1, 2])),
    missing: async () => onnxSpec(graphs.arithmetic(), { artifact: "/no/such/model.onnx" }),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("artifact", () => {
  it("is the only .onnx file of a folder, or model.onnx", async () => {
    const spec = await onnxSpec(graphs.identity("FP32", ["n"]));
    const folder = { ...spec, artifact: spec.folder };
    await rename(spec.artifact!, join(spec.folder, "other.onnx"));
    await using one = await load(folder);
    expect(one.inputs![0]!.datatype).toBe("FP32");
    await writeFile(join(spec.folder, "model.onnx"), graphs.identity("INT64", ["n"]));
    await using chosen = await load(folder);
    expect(chosen.inputs![0]!.datatype).toBe("INT64");
  });

  it("must be named when a folder has several", async () => {
    const spec = await onnxSpec(graphs.arithmetic());
    await rename(spec.artifact!, join(spec.folder, "a.onnx"));
    await writeFile(join(spec.folder, "b.onnx"), graphs.arithmetic());
    await expect(load({ ...spec, artifact: spec.folder })).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/a\.onnx, b\.onnx.*parameters\.uri/),
    });
  });

  it.each([
    ["no uri", {}, /parameters\.uri is missing/],
    ["an empty folder", { artifact: "empty" }, /no \.onnx file/],
    ["a file that is no ONNX", { artifact: "text.onnx" }, /cannot load .*(protobuf|Protobuf) parsing failed/],
  ])("fails for %s", async (_what, { artifact }: { artifact?: string }, message) => {
    const { folder, ...spec } = await onnxSpec(graphs.arithmetic());
    await mkdir(join(folder, "empty"));
    await writeFile(join(folder, "text.onnx"), "not a model");
    const model = { ...spec, folder, artifact: artifact && join(folder, artifact) };
    await expect(load(model)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ["BF16", graphs.identity("BF16", ["n"]), /BF16.*export it as FP32/],
    ["ZipMap", graphs.zipMap(), /'y' is a sequence or a map.*'zipmap': False/],
    ["a sequence", graphs.sequence(), /'y' is a sequence or a map/],
  ])("with %s fails and says what to do", async (_what, content, message) => {
    await expect(onnxSpec(content).then(load)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });
});

describe("options", () => {
  it("runs in parallel mode with other threads and optimization", async () => {
    const options = { intra_op_threads: 2, inter_op_threads: 2, graph_optimization: "disabled" };
    await using runtime = await load(await onnxSpec(graphs.arithmetic()), options);
    const [sum, product] = await infer(runtime, fp32("a", [1]), fp32("b", [2]));
    expect([sum!.data, product!.data]).toEqual([Float32Array.of(3), Float32Array.of(2)]);
  });

  it("refuses an execution provider this build does not have", async () => {
    const spec = await onnxSpec(graphs.arithmetic());
    await expect(load(spec, { execution_providers: ["abacus", "cpu"] })).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(/'abacus' is not in this build, which has cpu/),
    });
  });
});

describe("signature", () => {
  it("comes from the file, with -1 for symbolic dimensions", async () => {
    await using runtime = await load(await onnxSpec(graphs.identity("INT8", ["n", 3, "m"])));
    expect(runtime.platform).toBe("onnxruntime_onnx");
    expect(runtime.inputs).toEqual([{ name: "x", datatype: "INT8", shape: [-1, 3, -1] }]);
    expect(runtime.outputs).toEqual([{ name: "y", datatype: "INT8", shape: [-1, 3, -1] }]);
  });

  it("takes what model-settings.json adds, and stays as strict as the file", async () => {
    const given = {
      name: "x",
      datatype: "FP32",
      shape: [4, -1],
      parameters: { content_type: "np" },
    } as const;
    const spec = await onnxSpec(graphs.identity("FP32", ["n", 3]), { inputs: [given] });
    await using runtime = await load(spec);
    expect(runtime.inputs).toEqual([{ ...given, shape: [4, 3] }]);
    expect(runtime.outputs).toEqual([{ name: "y", datatype: "FP32", shape: [-1, 3] }]);
  });

  const mismatches: [string, Partial<ModelSpec>, RegExp][] = [
    ["name", { inputs: [{ name: "z", datatype: "FP32", shape: [-1, 3] }] }, /input 'z', but .* has 'x'/],
    [
      "datatype",
      { inputs: [{ name: "x", datatype: "FP64", shape: [-1, 3] }] },
      /FP64 \[-1, 3\].*FP32 \[-1, 3\]/,
    ],
    [
      "rank",
      { outputs: [{ name: "y", datatype: "FP32", shape: [-1] }] },
      /output 'y' is FP32 \[-1\].*\[-1, 3\]/,
    ],
    ["dimension", { inputs: [{ name: "x", datatype: "FP32", shape: [-1, 4] }] }, /\[-1, 4\].*\[-1, 3\]/],
  ];
  it.each(mismatches)("refuses another %s in model-settings.json", async (_what, settings, message) => {
    const spec = await onnxSpec(graphs.identity("FP32", ["n", 3]), settings);
    await expect(load(spec)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });

  it("is absent where the file leaves a rank open, unless model-settings.json gives it", async () => {
    const spec = await onnxSpec(graphs.identity("FP32"));
    await using open = await load(spec);
    expect(open.inputs).toBeUndefined();
    expect(await infer(open, fp32("x", [1, 2], [2, 1]))).toMatchObject([{ shape: [2, 1] }]);
    const given = { name: "x", datatype: "FP32", shape: [-1, 2] } as const;
    await using closed = await load({ ...spec, inputs: [given] });
    expect(closed.inputs).toEqual([given]);
  });
});

describe("every datatype", () => {
  const values: { [D in Exclude<Datatype, "BF16" | "BYTES">]: Tensor["data"] } = {
    BOOL: Uint8Array.of(0, 1),
    UINT8: Uint8Array.of(0, 255),
    UINT16: Uint16Array.of(0, 65535),
    UINT32: Uint32Array.of(0, 4294967295),
    UINT64: BigUint64Array.of(0n, 18446744073709551615n),
    INT8: Int8Array.of(-128, 127),
    INT16: Int16Array.of(-32768, 32767),
    INT32: Int32Array.of(-2147483648, 2147483647),
    INT64: BigInt64Array.of(-9223372036854775808n, 9223372036854775807n),
    // 1, -0, the largest, the smallest subnormal, infinity, NaN
    FP16: Uint16Array.of(0x3c00, 0x8000, 0x7bff, 0x0001, 0x7c00, 0x7e00),
    FP32: Float32Array.of(1.5, -0, 3.4028234663852886e38, 1e-45, -Infinity, Number.NaN),
    FP64: Float64Array.of(0.1, -0, Number.MAX_VALUE, Number.MIN_VALUE, Infinity, Number.NaN),
  };

  it.each(Object.entries(values))("carries %s to its extremes", async (name, data) => {
    const datatype = name as Datatype;
    await using runtime = await load(await onnxSpec(graphs.identity(datatype, ["n", 1])));
    const [output] = await infer(runtime, { name: "x", datatype, shape: [data.length, 1], data });
    expect(output).toEqual({ name: "y", datatype, shape: [data.length, 1], data });
  });

  it("carries text, empty and beyond ASCII, with its byte order mark", async () => {
    await using runtime = await load(await onnxSpec(graphs.identity("BYTES", ["n"])));
    const texts = ["", "a", "日本 😀", "\ufeffmarked", "é\r\n\t"];
    const [output] = await infer(runtime, textTensor("x", texts));
    expect(output).toEqual(textTensor("y", texts));
  });

  it.each([...Object.keys(values), "BYTES"] as Datatype[])(
    "carries an empty and a scalar %s",
    async (datatype) => {
      const full = datatype === "BYTES" ? [Buffer.from("text")] : values[datatype as "FP32"].slice(0, 1);
      await using matrix = await load(await onnxSpec(graphs.identity(datatype, ["n", 2])));
      const none = { datatype, shape: [0, 2], data: full.slice(0, 0) };
      expect(await infer(matrix, { name: "x", ...none })).toEqual([{ name: "y", ...none }]);
      await using scalar = await load(await onnxSpec(graphs.identity(datatype, [])));
      expect(scalar.inputs).toEqual([{ name: "x", datatype, shape: [] }]);
      const one = { datatype, shape: [], data: full };
      expect(await infer(scalar, { name: "x", ...one })).toEqual([{ name: "y", ...one }]);
    },
  );

  it("reads a view into a larger or shared buffer", async () => {
    await using runtime = await load(await onnxSpec(graphs.identity("FP32", ["n"])));
    const view = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([3, 4]);
    for (const data of [view, shared]) {
      const [output] = await infer(runtime, { name: "x", datatype: "FP32", shape: [2], data });
      expect([...(output!.data as Float32Array)]).toEqual([...data]);
    }
  });

  it("keeps an answer after the model is gone", async () => {
    const runtime = await load(await onnxSpec(graphs.identity("FP32", ["n"])));
    const [output] = await infer(runtime, fp32("x", [1, 2, 3]));
    await runtime[Symbol.asyncDispose]();
    expect(output!.data).toEqual(Float32Array.of(1, 2, 3));
  });
});

describe("requests", () => {
  it("computes only the outputs asked for", async () => {
    await using runtime = await load(await onnxSpec(graphs.arithmetic()));
    const inputs = [fp32("a", [2]), fp32("b", [5])];
    const ask = async (...names: string[]): Promise<unknown> => {
      const outputs = names.map((name) => ({ name }));
      const answer = await runtime.infer({ parameters: {}, inputs, outputs }, testCall());
      return answer.outputs.map(({ name, data }) => [name, ...(data as Float32Array)]);
    };
    expect(await ask("product")).toEqual([["product", 10]]);
    expect(await ask()).toEqual([
      ["sum", 7],
      ["product", 10],
    ]);
    await expect(ask("quotient")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  const faults: [string, Tensor[], RegExp][] = [
    ["an unknown input", [fp32("a", [1]), fp32("b", [1]), fp32("c", [1])], /no input 'c'/],
    ["a missing input", [fp32("b", [1])], /Input 'a' is missing/],
    ["another datatype", [fp32("a", [1]), { ...fp32("b", []), datatype: "FP64" }], /'b' is FP64.*takes FP32/],
    ["too few elements", [fp32("a", [1]), fp32("b", [1], [2])], /'b' has shape \[2\] and 1 elements/],
    ["too many elements", [fp32("a", [1]), fp32("b", [1, 2], [1])], /'b' has shape \[1\] and 2 elements/],
    ["another rank", [fp32("a", [1]), fp32("b", [1], [1, 1])], /Invalid rank for input: b/],
    ["a dimension beyond 32 bits", [fp32("a", [1]), fp32("b", [], [0, 2 ** 33])], /Tensor\.dims\[1\]/],
  ];
  it.each(faults)("refuses %s", async (_what, inputs, message) => {
    await using runtime = await load(await onnxSpec(graphs.arithmetic()));
    await expect(infer(runtime, ...inputs)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  });

  it.each([
    ["a NUL", Buffer.from("a\0b"), /Input 'x': element 1 holds a NUL/],
    ["bytes that are not UTF-8", Uint8Array.of(0xff), /Input 'x': element 1 is not UTF-8/],
  ])("refuses text with %s", async (_what, bytes, message) => {
    await using runtime = await load(await onnxSpec(graphs.identity("BYTES", ["n"])));
    const data = [Buffer.from("fine"), bytes];
    await expect(infer(runtime, { name: "x", datatype: "BYTES", shape: [2], data })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  });

  it("reports a failure inside the graph as INTERNAL with the model's name", async () => {
    await using runtime = await load(await onnxSpec(graphs.lookup()));
    const at = (...places: bigint[]): Tensor => {
      return { name: "x", datatype: "INT64", shape: [places.length], data: BigInt64Array.from(places) };
    };
    await expect(infer(runtime, at(9n))).rejects.toMatchObject({
      code: "INTERNAL",
      message: expect.stringMatching(/'sample' failed: .*out of data bounds/),
    });
    const [found] = await infer(runtime, at(2n));
    expect(found!.data).toEqual(BigInt64Array.of(12n));
  });

  it("discards the result of a run that was aborted under way", async () => {
    await using runtime = await load(await onnxSpec(graphs.slow()));
    const controller = new AbortController();
    const reason = new Error("gone");
    // Comes after `infer` has handed the run over, and before the run.
    setImmediate(() => controller.abort(reason));
    const work = runtime.infer(request(fp32("x", [0.001])), testCall({ signal: controller.signal }));
    await expect(work).rejects.toBe(reason);
    const [output] = await infer(runtime, fp32("x", [0]));
    expect(output).toEqual({ name: "y", datatype: "FP32", shape: [1, 1], data: Float32Array.of(0) });
  });
});
