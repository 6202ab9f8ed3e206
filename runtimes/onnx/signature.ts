import type { InferenceSession } from "onnxruntime-node";
import type { Datatype, ModelSpec, TensorSpec } from "../../src/contracts/index.ts";
import { failed } from "./artifact.ts";

type Side = "input" | "output";

/** onnxruntime's element types in the terms of V2. */
const DATATYPE: Readonly<Record<string, Datatype>> = {
  bool: "BOOL",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
  string: "BYTES",
};

export const ELEMENT_TYPE = new Map(Object.entries(DATATYPE).map(([type, datatype]) => [datatype, type]));

/**
 * The signature of an ONNX file; a symbolic dimension is -1.
 * @throws CapstanError LOAD_FAILED for what is not a tensor, and for element types V2 does not have.
 */
export function specsOf(
  model: ModelSpec,
  side: Side,
  metadata: readonly InferenceSession.ValueMetadata[],
): TensorSpec[] {
  return metadata.map((value) => {
    if (!value.isTensor) throw failed(model, notATensor(side, value.name));
    const datatype = DATATYPE[value.type];
    if (datatype === undefined) {
      throw failed(model, `${side} '${value.name}' is ${value.type}, which the V2 protocol does not have`);
    }
    const shape = value.shape.map((size) => (typeof size === "number" ? size : -1));
    return { name: value.name, datatype, shape };
  });
}

function notATensor(side: Side, name: string): string {
  return (
    `${side} '${name}' is a sequence or a map, not a tensor: export the model so that it is a tensor ` +
    "(for scikit-learn: to_onnx(..., options={'zipmap': False}))"
  );
}

/**
 * The file's signature with what model-settings.json says about it: parameters, `optional`, and dimensions the
 * file leaves open. Ports it does not name stay as they are.
 * @param anyRank names whose rank the file leaves open; their shape is taken from the settings.
 * @throws CapstanError LOAD_FAILED naming both sides where they do not fit.
 */
export function withSettings(
  model: ModelSpec,
  side: Side,
  file: readonly TensorSpec[],
  settings: readonly TensorSpec[] = [],
  anyRank: ReadonlySet<string> = new Set(),
): TensorSpec[] {
  for (const { name } of settings) {
    if (file.some((spec) => spec.name === name)) continue;
    const known = file.map((spec) => `'${spec.name}'`).join(", ");
    throw failed(model, `model-settings.json names ${side} '${name}', but the ONNX file has ${known}`);
  }
  return file.map((spec) => {
    const given = settings.find(({ name }) => name === spec.name);
    return given === undefined ? spec : merge(model, side, spec, given, anyRank.has(spec.name));
  });
}

function merge(
  model: ModelSpec,
  side: Side,
  file: TensorSpec,
  given: TensorSpec,
  anyRank: boolean,
): TensorSpec {
  const shape = anyRank ? given.shape : commonShape(file.shape, given.shape);
  if (given.datatype !== file.datatype || shape === undefined) {
    const text = ({ datatype, shape }: TensorSpec): string => `${datatype} [${shape.join(", ")}]`;
    throw failed(
      model,
      `${side} '${file.name}' is ${text(given)} in model-settings.json and ${text(file)} in the ONNX file: ` +
        "correct model-settings.json, or leave it out there",
    );
  }
  return { ...given, shape };
}

/** The stricter of both in each dimension; undefined where two fixed sizes differ. */
function commonShape(file: readonly number[], given: readonly number[]): number[] | undefined {
  if (file.length !== given.length) return undefined;
  const fits = file.every((size, i) => size === -1 || given[i] === -1 || size === given[i]);
  return fits ? file.map((size, i) => (size === -1 ? given[i]! : size)) : undefined;
}
