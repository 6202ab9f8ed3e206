/**
 * The reference models: identity over every datatype, so that what comes back shows what the server
 * did to it. FP16 is a model of its own, as many servers take it in binary only. For servers of ONNX files it is written here, as protocol buffers of the ONNX format; the
 * same signature can be served by anything else under the same name.
 */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import protobuf from "protobufjs/minimal.js";
import type { Datatype, TensorSpec } from "../contracts/index.ts";

export const REFERENCE_NAME = "v2_identity";
export const HALF_NAME = "v2_identity_fp16";

/** Element types of ONNX TensorProto by datatype. BF16 is left out: few runtimes can load it. */
const ONNX_TYPES: Readonly<Partial<Record<Datatype, number>>> = {
  FP32: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BYTES: 8,
  BOOL: 9,
  FP16: 10,
  FP64: 11,
  UINT32: 12,
  UINT64: 13,
};

export const REFERENCE_DATATYPES = (Object.keys(ONNX_TYPES) as Datatype[]).filter((name) => name !== "FP16");

/** Input of a datatype, `[-1, 2]`. */
export function inputName(datatype: Datatype): string {
  return `in_${datatype.toLowerCase()}`;
}

/** The output that gives an input back. */
export function outputName(input: string): string {
  return input.replace(/^in_/, "out_");
}

/** Its inputs: one `[-1, 2]` per datatype, and a `[-1, 1]` column. */
export function referenceInputs(): TensorSpec[] {
  const all = REFERENCE_DATATYPES.map((datatype) => ({
    name: inputName(datatype),
    datatype,
    shape: [-1, 2],
  }));
  return [...all, { name: "in_column", datatype: "FP32", shape: [-1, 1] }];
}

type Fields = (writer: protobuf.Writer) => void;

/** A length-delimited field holding a message. */
function nested(writer: protobuf.Writer, field: number, fields: Fields): void {
  writer.uint32((field << 3) | 2).fork();
  fields(writer);
  writer.ldelim();
}

function text(writer: protobuf.Writer, field: number, value: string): void {
  writer.uint32((field << 3) | 2).string(value);
}

function integer(writer: protobuf.Writer, field: number, value: number): void {
  writer.uint32(field << 3).uint32(value);
}

/** ValueInfoProto: name, and a tensor type with one free dimension of its own. */
function valueInfo(writer: protobuf.Writer, name: string, spec: TensorSpec): void {
  text(writer, 1, name);
  nested(writer, 2, (type) =>
    nested(type, 1, (tensor) => {
      integer(tensor, 1, ONNX_TYPES[spec.datatype] ?? 0);
      nested(tensor, 2, (shape) => {
        nested(shape, 1, (dimension) => text(dimension, 2, `rows_${spec.name}`));
        nested(shape, 1, (dimension) => integer(dimension, 1, spec.shape[1] ?? 1));
      });
    }),
  );
}

function identityNode(writer: protobuf.Writer, spec: TensorSpec): void {
  text(writer, 1, spec.name);
  text(writer, 2, outputName(spec.name));
  text(writer, 4, "Identity");
}

/** Inputs of the FP16 model. */
export function halfInputs(): TensorSpec[] {
  return [{ name: inputName("FP16"), datatype: "FP16", shape: [-1, 2] }];
}

/** The ONNX file of an identity model. */
function identityOnnx(name: string, specs: readonly TensorSpec[]): Uint8Array {
  const model = new protobuf.Writer();
  integer(model, 1, 8);
  text(model, 2, "capstan-conformance");
  nested(model, 7, (graph) => {
    for (const spec of specs) nested(graph, 1, (node) => identityNode(node, spec));
    text(graph, 2, name);
    for (const spec of specs) nested(graph, 11, (value) => valueInfo(value, spec.name, spec));
    for (const spec of specs) nested(graph, 12, (value) => valueInfo(value, outputName(spec.name), spec));
  });
  nested(model, 8, (opset) => integer(opset, 2, 17));
  return model.finish();
}

async function writeModel(folder: string, name: string, specs: readonly TensorSpec[]): Promise<string> {
  const target = path.join(folder, name);
  const parameters = { uri: "./model.onnx", version: "1" };
  const settings = JSON.stringify({ name, implementation: "onnx", parameters }, null, 2);
  await mkdir(target, { recursive: true });
  await writeFile(path.join(target, "model.onnx"), identityOnnx(name, specs));
  await writeFile(path.join(target, "model-settings.json"), `${settings}\n`);
  return target;
}

/** Writes each reference model as a folder of `model.onnx` and `model-settings.json`; returns their paths. */
export async function writeReferenceModels(folder: string): Promise<string[]> {
  const first = await writeModel(folder, REFERENCE_NAME, referenceInputs());
  return [first, await writeModel(folder, HALF_NAME, halfInputs())];
}
