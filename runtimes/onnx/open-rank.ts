import { readFile } from "node:fs/promises";
import protobuf from "protobufjs/minimal.js";

/**
 * The inputs whose rank an ONNX file leaves open. onnxruntime shows such an input as a scalar (`[]`), so the
 * file itself is asked. Field numbers are those of onnx.proto.
 */
export async function inputsOfOpenRank(file: string): Promise<Set<string>> {
  const names = new Set<string>();
  each(protobuf.Reader.create(await readFile(file)), MODEL_GRAPH, (graph) =>
    each(graph, GRAPH_INPUT, (input) => {
      const { name, hasShape } = readInput(input);
      if (!hasShape) names.add(name);
    }),
  );
  return names;
}

const MODEL_GRAPH = 7;
const GRAPH_INPUT = 11;
const VALUE_NAME = 1;
const VALUE_TYPE = 2;
const TYPE_TENSOR = 1;
const TENSOR_SHAPE = 2;

function readInput(input: protobuf.Reader): { name: string; hasShape: boolean } {
  let name = "";
  let hasShape = false;
  while (input.pos < input.len) {
    const tag = input.uint32();
    if (tag >>> 3 === VALUE_NAME) name = input.string();
    else if (tag >>> 3 !== VALUE_TYPE) input.skipType(tag & 7);
    else each(message(input), TYPE_TENSOR, (tensor) => each(tensor, TENSOR_SHAPE, () => (hasShape = true)));
  }
  return { name, hasShape };
}

/** Calls `use` with every embedded message of that field, and skips everything else. */
function each(reader: protobuf.Reader, field: number, use: (message: protobuf.Reader) => void): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === field) use(message(reader));
    else reader.skipType(tag & 7);
  }
}

function message(reader: protobuf.Reader): protobuf.Reader {
  return protobuf.Reader.create(reader.bytes());
}
