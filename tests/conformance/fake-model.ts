/** The reference model as the fake servers serve it: strict where the rules are, unless told otherwise. */

import { outputName, referenceInputs } from "../../src/conformance/reference-model.ts";
import type { Value } from "../../src/conformance/samples.ts";
import { type Datatype, elementCount, type TensorSpec } from "../../src/contracts/index.ts";

export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface FakeTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly data: readonly Value[];
}

export const FAKE_NAME = "v2_identity";
export const FAKE_INPUTS = referenceInputs();
export const FAKE_OUTPUTS = FAKE_INPUTS.map((spec) => ({ ...spec, name: outputName(spec.name) }));

const INTEGER_BITS = /^(U?)INT(\d+)$/;

function refuse(message: string): never {
  throw new Refusal(400, message);
}

function isInteger(datatype: string, value: unknown): boolean {
  const [, unsigned, bits] = INTEGER_BITS.exec(datatype) ?? [];
  if (typeof value !== "bigint" && !Number.isInteger(value)) return false;
  const low = unsigned ? 0n : -(2n ** BigInt(Number(bits) - 1));
  const exact = BigInt(value as number);
  return exact >= low && exact < low + 2n ** BigInt(Number(bits));
}

function fits(datatype: string, value: unknown): boolean {
  if (INTEGER_BITS.test(datatype)) return isInteger(datatype, value);
  if (datatype === "BOOL") return typeof value === "boolean";
  if (datatype === "BYTES") return typeof value === "string";
  return typeof value === "number" || value === "NaN" || value === "Infinity" || value === "-Infinity";
}

function checkShape(spec: TensorSpec, shape: readonly number[]): void {
  if (!shape.every((size) => Number.isInteger(size) && size >= 0))
    refuse(`Input '${spec.name}': not a shape`);
  const same =
    shape.length === spec.shape.length && spec.shape.every((size, i) => size < 0 || size === shape[i]);
  if (!same) refuse(`Input '${spec.name}': shape [${shape}], expected [${spec.shape}]`);
}

/** A trailing dimension of one may be left out. */
function settled(spec: TensorSpec, tensor: FakeTensor): FakeTensor {
  const missing = spec.shape.at(-1) === 1 && tensor.shape.length === spec.shape.length - 1;
  return missing ? { ...tensor, shape: [...tensor.shape, 1] } : tensor;
}

function checked(spec: TensorSpec, given: FakeTensor, wraps: boolean): FakeTensor {
  const tensor = settled(spec, given);
  if (tensor.datatype !== spec.datatype)
    refuse(`Input '${spec.name}': ${tensor.datatype}, not ${spec.datatype}`);
  checkShape(spec, tensor.shape);
  if (tensor.data.length !== elementCount(tensor.shape)) refuse(`Input '${spec.name}': element count`);
  if (wraps && spec.datatype === "INT8")
    return { ...tensor, data: [...Int8Array.from(tensor.data.map(Number))] };
  if (!tensor.data.every((value) => fits(spec.datatype, value))) refuse(`Input '${spec.name}': element type`);
  return tensor;
}

/** All outputs for the inputs. `wraps`: 300 in INT8 becomes 44, as a careless server does. */
export function identity(inputs: readonly FakeTensor[], wraps = false): FakeTensor[] {
  const byName = new Map(inputs.map((input) => [input.name, input]));
  if (byName.size !== inputs.length) refuse("An input is given twice");
  const unknown = inputs.find(({ name }) => !FAKE_INPUTS.some((spec) => spec.name === name));
  if (unknown) refuse(`Input '${unknown.name}' is unknown`);
  return FAKE_INPUTS.map((spec) => {
    const input = byName.get(spec.name) ?? refuse(`Input '${spec.name}' is missing`);
    return { ...checked(spec, input, wraps), name: outputName(spec.name) };
  });
}
