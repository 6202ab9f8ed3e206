import { readdir, readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";
import { parse } from "yaml";
import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";

/** The fields of an MLmodel file that are used here. */
export interface MlModelDocument {
  readonly flavors: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly signature?: unknown;
}

/** @throws CapstanError LOAD_FAILED when the artifact is not an MLflow model folder. */
export async function readMlModel(model: ModelSpec): Promise<{ folder: string; document: MlModelDocument }> {
  const file = await mlModelFile(model);
  let document: Partial<MlModelDocument> | null;
  try {
    document = parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw failed(model, `${file} cannot be read: ${(cause as Error).message}`, cause);
  }
  const { flavors } = document ?? {};
  if (typeof flavors !== "object" || flavors === null) throw failed(model, `${file} names no flavors`);
  return { folder: dirname(file), document: { ...document, flavors } };
}

async function mlModelFile(model: ModelSpec): Promise<string> {
  const { artifact } = model;
  if (artifact === undefined)
    throw failed(model, "parameters.uri is missing: point it at an MLflow model folder");
  const info = await stat(artifact).catch((cause: Error) => {
    throw failed(model, `cannot read ${artifact}: ${cause.message}`, cause);
  });
  if (!info.isDirectory()) return artifact;
  const names = await readdir(artifact);
  if (names.includes("MLmodel")) return join(artifact, "MLmodel");
  throw failed(
    model,
    `there is no MLmodel file in ${artifact}, which holds ${names.sort().join(", ") || "nothing"}`,
  );
}

/**
 * The ONNX file of the model, and the onnx runtime's options for the session options saved with it.
 * @throws CapstanError LOAD_FAILED when there is no onnx flavour, saying what to do.
 */
export function onnxFlavor(model: ModelSpec, folder: string, { flavors }: MlModelDocument) {
  const { onnx } = flavors;
  if (onnx === undefined) throw failed(model, withoutOnnx(Object.keys(flavors)));
  const data = typeof onnx.data === "string" ? normalize(onnx.data) : "model.onnx";
  if (isAbsolute(data) || data.startsWith(".."))
    throw failed(model, `the onnx flavour's data ${data} is outside the folder`);
  return { file: join(folder, data), session: sessionOptions(onnx.onnx_session_options) };
}

function withoutOnnx(flavors: readonly string[]): string {
  return (
    `its flavours are ${flavors.join(", ") || "none"}, which are Python and do not run here. Convert the model to ` +
    "ONNX and save it with mlflow.onnx.save_model(onnx_model, path, signature=...); or run " +
    '`mlflow models serve --enable-mlserver` and use the implementation "remote" with that server\'s address as uri'
  );
}

/** Numbers of onnxruntime's GraphOptimizationLevel. */
const OPTIMIZATION: Readonly<Record<number, string>> = {
  0: "disabled",
  1: "basic",
  2: "extended",
  3: "layout",
  99: "all",
};

/** Providers are left out: MLflow saves CUDA in every model, and falls back to the CPU where there is none. */
function sessionOptions(saved: unknown): Record<string, unknown> {
  const { intra_op_num_threads, inter_op_num_threads, graph_optimization_level } = (saved ?? {}) as Record<
    string,
    unknown
  >;
  const options = {
    intra_op_threads: intra_op_num_threads,
    inter_op_threads: inter_op_num_threads,
    graph_optimization: OPTIMIZATION[graph_optimization_level as number],
  };
  // MLflow too takes 0 and null as "not set".
  return Object.fromEntries(Object.entries(options).filter(([, value]) => Boolean(value)));
}

/** LOAD_FAILED with the model's name in front. */
export function failed(model: ModelSpec, what: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Model '${model.name}': ${what}`, { cause });
}
