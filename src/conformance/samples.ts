/** Inputs made from a model's signature, and answers compared with what was sent. */
import { type Datatype, elementCount, type TensorSpec } from "../contracts/index.ts";
import { array, expect, expectEqual, record, shown, string } from "./expect.ts";
import type { Target } from "./types.ts";

export type Value = number | bigint | boolean | string;

/** A tensor of a V2 JSON request. */
export interface JsonTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: Datatype;
  readonly data: readonly Value[];
}

/** A concrete shape: the first free dimension is `rows`, other free ones 2. */
export function concreteShape(spec: TensorSpec, rows = 1): number[] {
  const firstFree = spec.shape.indexOf(-1);
  return spec.shape.map((size, index) => (size >= 0 ? size : index === firstFree ? rows : 2));
}

/** A harmless value; `index` makes neighbours differ. */
export function sampleValue(datatype: Datatype, index: number): Value {
  if (datatype === "BOOL") return index % 2 === 0;
  if (datatype === "BYTES") return `text ${index}`;
  if (datatype === "INT64" || datatype === "UINT64") return BigInt(1 + (index % 100));
  return datatype.startsWith("FP") || datatype === "BF16" ? 0.5 + (index % 100) : 1 + (index % 100);
}

export function sampleTensor(spec: TensorSpec, rows = 1): JsonTensor {
  const shape = concreteShape(spec, rows);
  const data = Array.from({ length: elementCount(shape) }, (_, index) => sampleValue(spec.datatype, index));
  return { name: spec.name, shape, datatype: spec.datatype, data };
}

/** One tensor per input that is not optional. */
export function sampleInputs(model: Target, rows = 1): JsonTensor[] {
  return model.inputs.filter(({ optional }) => !optional).map((spec) => sampleTensor(spec, rows));
}

/** The sample with one tensor changed. */
export function withInput(inputs: readonly JsonTensor[], name: string, change: object): object[] {
  return inputs.map((input) => (input.name === name ? { ...input, ...change } : input));
}

function normal(datatype: string, value: unknown): unknown {
  const integer = typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
  if (/^U?INT64$/.test(datatype) && integer) return String(value);
  if (datatype === "FP32" && typeof value === "number") return Math.fround(value);
  return value;
}

/** @throws CheckFailure unless both lists hold the same elements, as far as the datatype can tell. */
export function expectValues(
  datatype: string,
  actual: unknown,
  wanted: readonly Value[],
  what: string,
): void {
  const flat = array(actual, what).flat(Number.POSITIVE_INFINITY);
  const got = flat.map((value) => normal(datatype, value));
  const expected = wanted.map((value) => normal(datatype, value));
  const same =
    got.length === expected.length && got.every((value, index) => Object.is(value, expected[index]));
  expect(same, `${what}: expected ${shown(expected)}, got ${shown(got)}`);
}

/** An output of a V2 JSON response. */
export interface JsonOutput {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data: unknown;
  readonly parameters: Readonly<Record<string, unknown>>;
}

function outputOf(value: unknown): JsonOutput {
  const output = record(value, "an output");
  const shape = array(output.shape, "shape").map(Number);
  const name = string(output.name, "an output's name");
  const parameters = output.parameters === undefined || output.parameters === null ? {} : output.parameters;
  return {
    name,
    datatype: string(output.datatype, `datatype of output '${name}'`),
    shape,
    data: output.data,
    parameters: record(parameters, `parameters of output '${name}'`),
  };
}

/** The outputs of a response. @throws CheckFailure where they are not V2 outputs. */
export function outputsOf(response: unknown): JsonOutput[] {
  return array(record(response, "the response").outputs, "outputs").map(outputOf);
}

/** @throws CheckFailure unless there is an output of that name. */
export function outputNamed(response: unknown, name: string): JsonOutput {
  const found = outputsOf(response).find((output) => output.name === name);
  expect(found, `the response has no output '${name}': ${shown(outputsOf(response).map((o) => o.name))}`);
  return found;
}

/** @throws CheckFailure unless the output named `name` is exactly `wanted`. */
export function expectTensor(response: unknown, name: string, wanted: JsonTensor): void {
  const output = outputNamed(response, name);
  expectEqual(output.datatype, wanted.datatype, `datatype of '${name}'`);
  expectEqual(output.shape, wanted.shape, `shape of '${name}'`);
  expectValues(wanted.datatype, output.data, wanted.data, `data of '${name}'`);
}
