import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Datatype, ModelSpec } from "../../src/contracts/index.ts";
import { onnxModel, type Port } from "./onnx-model.ts";

type Shape = Port["shape"];

/** `y` is `x`, whatever its datatype. */
export function identity(datatype: Datatype, shape?: Shape): Uint8Array {
  return onnxModel({
    inputs: [{ name: "x", datatype, shape }],
    outputs: [{ name: "y", datatype, shape }],
    nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
  });
}

/** `sum` is a + b and `product` is a * b, for FP32 [n]. */
export function arithmetic(): Uint8Array {
  const port = (name: string): Port => ({ name, datatype: "FP32", shape: ["n"] });
  return onnxModel({
    inputs: [port("a"), port("b")],
    outputs: [port("sum"), port("product")],
    nodes: [
      { op: "Add", inputs: ["a", "b"], outputs: ["sum"] },
      { op: "Mul", inputs: ["a", "b"], outputs: ["product"] },
    ],
  });
}

/** `y` is 10, 11, 12, 13 at the place `x` says; another place fails inside the graph. */
export function lookup(): Uint8Array {
  return onnxModel({
    inputs: [{ name: "x", datatype: "INT64", shape: ["n"] }],
    outputs: [{ name: "y", datatype: "INT64", shape: ["n"] }],
    constants: { table: [10, 11, 12, 13] },
    nodes: [{ op: "Gather", inputs: ["table", "x"], outputs: ["y"] }],
  });
}

/** A classifier's probabilities as skl2onnx exports them by default: a sequence of maps. */
export function zipMap(): Uint8Array {
  return onnxModel({
    inputs: [{ name: "x", datatype: "FP32", shape: ["n", 2] }],
    outputs: [{ name: "y", datatype: "FP32", kind: "zipmap" }],
    nodes: [
      {
        op: "ZipMap",
        domain: "ai.onnx.ml",
        inputs: ["x"],
        outputs: ["y"],
        attributes: { classlabels_int64s: [0, 1] },
      },
    ],
  });
}

/** `y` is a sequence of one tensor. */
export function sequence(): Uint8Array {
  return onnxModel({
    inputs: [{ name: "x", datatype: "FP32", shape: ["n"] }],
    outputs: [{ name: "y", datatype: "FP32", kind: "sequence" }],
    nodes: [{ op: "SequenceConstruct", inputs: ["x"], outputs: ["y"] }],
  });
}

/** `y` is the maximum of a chain of `steps` products of 512 x 512 matrices: tens of milliseconds or more. */
export function slow(steps = 8): Uint8Array {
  const products = Array.from({ length: steps }, (_, i) => ({
    op: "MatMul",
    inputs: [`m${i}`, "m0"],
    outputs: [`m${i + 1}`],
  }));
  return onnxModel({
    inputs: [{ name: "x", datatype: "FP32", shape: [1] }],
    outputs: [{ name: "y", datatype: "FP32", shape: [1, 1] }],
    constants: { size: [512, 512] },
    nodes: [
      { op: "Expand", inputs: ["x", "size"], outputs: ["m0"] },
      ...products,
      { op: "ReduceMax", inputs: [`m${steps}`], outputs: ["y"], attributes: { axes: [0, 1], keepdims: 1 } },
    ],
  });
}

const temporary = await mkdtemp(join(tmpdir(), "capstan-onnx-"));
afterAll(() => rm(temporary, { recursive: true }));

/** The model as a file in a new folder, which is removed after the tests of the importing file. */
export async function onnxSpec(content: Uint8Array, more: Partial<ModelSpec> = {}): Promise<ModelSpec> {
  const folder = await mkdtemp(join(temporary, "model-"));
  const artifact = join(folder, "model.onnx");
  await writeFile(artifact, content);
  return { name: "sample", version: "1", folder, artifact, ...more };
}
