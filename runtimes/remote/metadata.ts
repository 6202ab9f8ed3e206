import { isDatatype, type Parameters, type TensorSpec } from "../../src/contracts/index.ts";
import type { RemoteMetadata } from "./backend.ts";

/** A model's metadata as another server gave it. Only what is used is looked at. */
export function metadataOf(answer: Readonly<Record<string, unknown>>): RemoteMetadata {
  const { platform, inputs, outputs } = answer;
  return {
    platform: typeof platform === "string" && platform !== "" ? platform : undefined,
    inputs: signatureOf(inputs),
    outputs: signatureOf(outputs),
  };
}

/** Undefined, which leaves requests unchecked, where there is none or where it is not all V2. */
function signatureOf(list: unknown): TensorSpec[] | undefined {
  if (!Array.isArray(list) || list.length === 0) return undefined;
  const specs = list.map(specOf);
  return specs.every((spec) => spec !== undefined) ? specs : undefined;
}

function specOf(entry: unknown): TensorSpec | undefined {
  if (!isRecord(entry)) return undefined;
  const { name, datatype, shape, parameters } = entry;
  if (typeof name !== "string" || !isDatatype(datatype) || !isShape(shape)) return undefined;
  const scalars = scalarsOf(parameters);
  const spec: TensorSpec = { name, datatype, shape };
  return scalars === undefined ? spec : { ...spec, parameters: scalars };
}

function isShape(shape: unknown): shape is number[] {
  return Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size >= -1);
}

/** Parameters hold scalars; MLServer also sends lists and null there, which V2 does not have. */
export function scalarsOf(parameters: unknown): Parameters | undefined {
  if (!isRecord(parameters)) return undefined;
  const scalars = Object.entries(parameters).filter(([, value]) => SCALARS.has(typeof value));
  return scalars.length === 0 ? undefined : (Object.fromEntries(scalars) as Parameters);
}

const SCALARS: ReadonlySet<string> = new Set(["string", "number", "boolean", "bigint"]);

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
