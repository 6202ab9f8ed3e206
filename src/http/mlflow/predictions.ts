import { isUtf8 } from "node:buffer";
import type { Datatype, Tensor, TensorData } from "../../contracts/index.ts";
import type { ModelResponse } from "../../host/types.ts";
import { fromBfloat16, fromFloat16 } from "../../v2/index.ts";
import type { Payload } from "./payload.ts";

/**
 * `{"predictions": ...}` as MLflow shapes it: a data frame is a list of records, tensors are an object of nested
 * lists, a lone array is itself. The model's own content type (`pd`, `dict`, `np`) decides, else a data frame
 * is answered with one.
 */
export function writePredictions({ outputs, parameters }: ModelResponse, asked: Payload["kind"]): string {
  return `{"predictions":${predictions(outputs, parameters?.content_type, asked)}}`;
}

function predictions(outputs: readonly Tensor[], type: unknown, asked: Payload["kind"]): string {
  if (type === "np" && outputs.length === 1) return lists(outputs[0]!);
  const isFrame = type === "pd" || (type !== "dict" && asked === "table");
  const rows = outputs[0]?.shape[0] ?? 0;
  if (isFrame && outputs.every(({ shape }) => shape[0] === rows)) return records(outputs, rows);
  return object(outputs.map((output) => [output.name, lists(output)]));
}

function records(outputs: readonly Tensor[], rows: number): string {
  const columns = outputs.map((output) => ({ name: output.name, cells: cells(output) }));
  const row = (index: number) => object(columns.map(({ name, cells }) => [name, cells[index]!]));
  return `[${Array.from({ length: rows }, (_, index) => row(index)).join(",")}]`;
}

/** The text of each row: a value, where it has just one. */
function cells(output: Tensor): string[] {
  const elements = texts(output);
  const [rows = 0, ...rest] = output.shape;
  const size = rest.reduce((product, each) => product * each, 1);
  if (size === 1) return elements;
  return Array.from({ length: rows }, (_, row) => nest(elements, rest, row * size));
}

function lists(output: Tensor): string {
  return nest(texts(output), output.shape, 0);
}

function nest(elements: readonly string[], [length, ...rest]: readonly number[], offset: number): string {
  if (length === undefined) return elements[offset]!;
  const step = rest.reduce((product, each) => product * each, 1);
  return `[${Array.from({ length }, (_, index) => nest(elements, rest, offset + index * step)).join(",")}]`;
}

const object = (fields: readonly (readonly [name: string, value: string])[]) =>
  `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;

/** The JSON text of each element. Integers keep all their digits. */
function texts({ datatype, data }: Tensor): string[] {
  return Array.from(data as ArrayLike<TensorData[number]>, (element) => textOf(datatype, element));
}

function textOf(datatype: Datatype, element: TensorData[number]): string {
  if (datatype === "BYTES") return JSON.stringify(shown(element as Uint8Array));
  if (datatype === "BOOL") return element === 1 ? "true" : "false";
  if (datatype === "FP16") return numberText(fromFloat16(element as number));
  if (datatype === "BF16") return numberText(fromBfloat16(element as number));
  return typeof element === "bigint" ? String(element) : numberText(element as number);
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) return "null";
  return Object.is(value, -0) ? "-0.0" : String(value);
}

function shown(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  return buffer.toString(isUtf8(buffer) ? "utf8" : "base64");
}
