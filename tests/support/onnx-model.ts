import protobuf from "protobufjs/minimal.js";
import type { Datatype } from "../../src/contracts/index.ts";

/**
 * Small ONNX files as bytes. Field and enum numbers are those of onnx.proto (ONNX IR version 8); onnxruntime
 * loading them is what checks them.
 */

/** TensorProto.DataType. */
const ELEMENT_TYPE: Readonly<Record<Datatype, number>> = {
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
  BF16: 16,
};

/** A dimension is a size, or the name of a symbolic one; a port without a shape has an unknown rank. */
export interface Port {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape?: readonly (number | string)[];
  /** Absent: a tensor. Otherwise a sequence of tensors, or the sequence of maps that ZipMap gives. */
  readonly kind?: "sequence" | "zipmap";
}

/** An integer, or a list of them. */
export type Attribute = number | readonly number[];

export interface Node {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly nodes: readonly Node[];
  /** Constants of type INT64, one dimension. */
  readonly constants?: Readonly<Record<string, readonly number[]>>;
}

type Write = (writer: protobuf.Writer) => void;

function message(writer: protobuf.Writer, field: number, write: Write): void {
  writer.uint32((field << 3) | 2).fork();
  write(writer);
  writer.ldelim();
}

function text(writer: protobuf.Writer, field: number, value: string): void {
  writer.uint32((field << 3) | 2).string(value);
}

function integer(writer: protobuf.Writer, field: number, value: number): void {
  writer.uint32(field << 3).int64(value);
}

/** TensorShapeProto: Dimension.dim_value or dim_param. */
function shape(writer: protobuf.Writer, dimensions: readonly (number | string)[]): void {
  for (const size of dimensions) {
    message(writer, 1, (w) => (typeof size === "string" ? text(w, 2, size) : integer(w, 1, size)));
  }
}

/** TypeProto.Tensor in a TypeProto. */
function tensorType(writer: protobuf.Writer, { datatype, shape: dimensions }: Omit<Port, "name">): void {
  message(writer, 1, (tensor) => {
    integer(tensor, 1, ELEMENT_TYPE[datatype]);
    if (dimensions !== undefined) message(tensor, 2, (w) => shape(w, dimensions));
  });
}

/** TypeProto: tensor_type = 1, sequence_type = 4, map_type = 5 from INT64 to FP32. */
function valueType(writer: protobuf.Writer, port: Port): void {
  if (port.kind === undefined) tensorType(writer, port);
  else message(writer, 4, (sequence) => message(sequence, 1, (w) => elementType(w, port)));
}

function elementType(writer: protobuf.Writer, port: Port): void {
  if (port.kind === "sequence") tensorType(writer, port);
  else message(writer, 5, probabilityMap);
}

function probabilityMap(writer: protobuf.Writer): void {
  integer(writer, 1, ELEMENT_TYPE.INT64);
  message(writer, 2, (value) => tensorType(value, { datatype: "FP32", shape: [] }));
}

/** ValueInfoProto. */
function valueInfo(writer: protobuf.Writer, port: Port): void {
  text(writer, 1, port.name);
  message(writer, 2, (w) => valueType(w, port));
}

/** AttributeProto; its `type` is INT = 2 or INTS = 7. */
function attribute(writer: protobuf.Writer, name: string, value: Attribute): void {
  text(writer, 1, name);
  if (typeof value === "number") integer(writer, 3, value);
  else for (const element of value) integer(writer, 8, element);
  integer(writer, 20, typeof value === "number" ? 2 : 7);
}

/** NodeProto. */
function node(writer: protobuf.Writer, { op, inputs, outputs, domain, attributes = {} }: Node): void {
  for (const name of inputs) text(writer, 1, name);
  for (const name of outputs) text(writer, 2, name);
  text(writer, 4, op);
  for (const [name, value] of Object.entries(attributes))
    message(writer, 5, (w) => attribute(w, name, value));
  if (domain !== undefined) text(writer, 7, domain);
}

/** TensorProto of INT64 with one dimension. */
function constant(writer: protobuf.Writer, name: string, values: readonly number[]): void {
  integer(writer, 1, values.length);
  integer(writer, 2, ELEMENT_TYPE.INT64);
  for (const value of values) integer(writer, 7, value);
  text(writer, 8, name);
}

function graph(writer: protobuf.Writer, { inputs, outputs, nodes, constants = {} }: Graph): void {
  for (const each of nodes) message(writer, 1, (w) => node(w, each));
  text(writer, 2, "graph");
  for (const [name, values] of Object.entries(constants))
    message(writer, 5, (w) => constant(w, name, values));
  for (const port of inputs) message(writer, 11, (w) => valueInfo(w, port));
  for (const port of outputs) message(writer, 12, (w) => valueInfo(w, port));
}

function operatorSet(writer: protobuf.Writer, domain: string, version: number): void {
  text(writer, 1, domain);
  integer(writer, 2, version);
}

/** A whole ONNX file. */
export function onnxModel(content: Graph): Uint8Array {
  const writer = protobuf.Writer.create();
  integer(writer, 1, 8);
  message(writer, 7, (w) => graph(w, content));
  message(writer, 8, (w) => operatorSet(w, "", 17));
  message(writer, 8, (w) => operatorSet(w, "ai.onnx.ml", 3));
  return writer.finish();
}
