import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";

/** What differs between MLmodel files. Schemas are written as MLflow does: JSON text within the YAML. */
export interface MlModel {
  readonly flavors?: unknown;
  readonly inputs?: readonly object[];
  readonly params?: readonly object[];
}

/** Writes an MLflow model folder around an ONNX file. */
export async function writeMlModel(folder: string, onnx: Uint8Array, model: MlModel = {}): Promise<void> {
  const {
    flavors = { onnx: { data: "model.onnx", providers: ["CUDAExecutionProvider"] } },
    inputs,
    params,
  } = model;
  const json = (value?: readonly object[]) => (value === undefined ? null : JSON.stringify(value));
  const signature =
    inputs === undefined ? undefined : { inputs: json(inputs), outputs: null, params: json(params) };
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "model.onnx"), onnx);
  await writeFile(join(folder, "MLmodel"), stringify({ flavors, mlflow_version: "3.17.2", signature }));
}

/** A column of a signature. */
export const column = (name: string, type: string, required = true) => ({ type, name, required });

/** A tensor of a signature; without a name it is the only one. */
export const tensor = (dtype: string, shape: readonly number[], name?: string) => ({
  ...(name === undefined ? {} : { name }),
  type: "tensor",
  "tensor-spec": { dtype, shape },
});
