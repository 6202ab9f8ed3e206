import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";

/**
 * The .onnx file of a model: the artifact itself, `model.onnx` in it, or the only .onnx file in it.
 * @throws CapstanError LOAD_FAILED when there is none, or more than one to choose from.
 */
export async function onnxFile(model: ModelSpec): Promise<string> {
  if (model.artifact === undefined) {
    throw failed(model, "parameters.uri is missing: point it at a .onnx file or at a folder that holds one");
  }
  const info = await stat(model.artifact).catch((cause: Error) => {
    throw failed(model, `cannot read ${model.artifact}: ${cause.message}`, cause);
  });
  return info.isDirectory() ? await fileInFolder(model, model.artifact) : model.artifact;
}

async function fileInFolder(model: ModelSpec, folder: string): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".onnx")).sort();
  const chosen = files.includes("model.onnx") ? "model.onnx" : files[0];
  if (chosen === undefined) throw failed(model, `there is no .onnx file in ${folder}`);
  if (files.length > 1 && chosen !== "model.onnx") {
    throw failed(
      model,
      `${folder} holds ${files.join(", ")}: let parameters.uri name one, or call it model.onnx`,
    );
  }
  return join(folder, chosen);
}

/** LOAD_FAILED with the model's name in front. */
export function failed(model: ModelSpec, what: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Model '${model.name}': ${what}`, { cause });
}
