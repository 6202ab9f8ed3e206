import { cp, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";

export type Peer = "mlserver" | "triton";

/** Columns of the input and classes of the output of a sample model. */
const WIDTHS: Readonly<Record<string, { readonly columns: number; readonly classes: number }>> = {
  iris: { columns: 4, classes: 3 },
  digits: { columns: 64, classes: 10 },
};

/** Puts the ONNX file in `from` into a repository as `peer` reads it, with the code that runs it there. */
export async function writeRepository(
  peer: Peer,
  name: string,
  from: string,
  repository: string,
): Promise<void> {
  const folder = path.join(repository, name);
  const code = path.join(folder, peer === "triton" ? "1" : "");
  await mkdir(code, { recursive: true });
  await cp(path.join(from, "model.onnx"), path.join(code, "model.onnx"));
  await cp(path.join(import.meta.dirname, `${peer}.py`), path.join(code, "model.py"));
  if (peer === "triton") await writeFile(path.join(folder, "config.pbtxt"), tritonConfig(name));
  else await writeFile(path.join(folder, "model-settings.json"), mlserverSettings(name));
}

function mlserverSettings(name: string): string {
  return JSON.stringify({ name, implementation: "model.OnnxModel", parameters: { uri: "./model.onnx" } });
}

function tritonConfig(name: string): string {
  const { columns, classes } = WIDTHS[name]!;
  return `name: "${name}"
backend: "python"
max_batch_size: 0
input [ { name: "X" data_type: TYPE_FP32 dims: [ -1, ${columns} ] } ]
output [
  { name: "label" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "probabilities" data_type: TYPE_FP32 dims: [ -1, ${classes} ] }
]
instance_group [ { kind: KIND_CPU count: 1 } ]
`;
}
