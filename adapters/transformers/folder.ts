import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";
import type { TransformersOptions } from "./options.ts";

type Dtype = NonNullable<TransformersOptions["dtype"]>;

/** A Hugging Face folder that was exported to ONNX. */
export interface ModelFolder {
  readonly path: string;
  readonly config: z.output<typeof configSchema>;
  readonly dtype: Dtype;
  readonly pooling: "mean" | "cls";
}

const configSchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  max_position_embeddings: z.number().optional(),
});

/** The end of a file's name for each dtype (transformers.js, DEFAULT_DTYPE_SUFFIX_MAPPING). */
const SUFFIXES: Readonly<Record<Dtype, string>> = {
  fp32: "",
  fp16: "_fp16",
  int8: "_int8",
  uint8: "_uint8",
  q8: "_quantized",
  q4: "_q4",
  q4f16: "_q4f16",
  bnb4: "_bnb4",
};
const DTYPES = Object.keys(SUFFIXES) as Dtype[];
const WEIGHTS = /\.(safetensors|bin|pt|pth|gguf)$/;

/** @throws CapstanError LOAD_FAILED saying what the folder lacks. */
export async function readFolder(model: ModelSpec, options: TransformersOptions): Promise<ModelFolder> {
  const path = model.artifact;
  if (path === undefined) throw failed(model, "parameters.uri is missing: point it at a Hugging Face folder");
  const files = await readdir(path).catch((cause: Error) => {
    throw failed(model, `cannot read the folder ${path}: ${cause.message}`, cause);
  });
  const config = configSchema.safeParse(await readJson(model, path, "config.json"));
  if (!config.success) throw failed(model, `config.json: ${z.prettifyError(config.error)}`);
  await readJson(model, path, "tokenizer.json");
  const graphs = files.includes("onnx") ? await readdir(join(path, "onnx")) : [];
  const dtype = dtypeOf(model, options.dtype, graphs, files);
  return { path, config: config.data, dtype, pooling: options.pooling ?? (await poolingOf(path)) };
}

function dtypeOf(
  model: ModelSpec,
  wanted: Dtype | undefined,
  graphs: readonly string[],
  files: readonly string[],
): Dtype {
  const found = DTYPES.filter((dtype) => graphs.includes(`model${SUFFIXES[dtype]}.onnx`));
  if (found.length === 0) throw failed(model, withoutGraph(files));
  const dtype = wanted ?? (found.includes("fp32") ? "fp32" : found[0]!);
  if (found.includes(dtype)) return dtype;
  throw failed(model, `there is no onnx/model${SUFFIXES[dtype]}.onnx; dtype can be ${found.join(", ")}`);
}

function withoutGraph(files: readonly string[]): string {
  const weights = files.find((file) => WEIGHTS.test(file));
  if (weights === undefined) return "there is no onnx/model.onnx in the folder";
  return (
    `there is no onnx/model.onnx in the folder, only ${weights}: export it ` +
    "(optimum-cli export onnx --model FOLDER OUTPUT), or serve it with vLLM behind framework 'openai'"
  );
}

async function readJson(model: ModelSpec, folder: string, file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, file), "utf8"));
  } catch (cause) {
    throw failed(model, `${join(folder, file)}: ${(cause as Error).message}`, cause);
  }
}

/** As sentence-transformers writes it beside the model. */
async function poolingOf(folder: string): Promise<"mean" | "cls"> {
  const text = await readFile(join(folder, "1_Pooling", "config.json"), "utf8").catch(() => "{}");
  const { pooling_mode_cls_token: cls } = JSON.parse(text) as { pooling_mode_cls_token?: boolean };
  return cls === true ? "cls" : "mean";
}

/** LOAD_FAILED with the model's name in front. */
export function failed(model: ModelSpec, what: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Model '${model.name}': ${what}`, { cause });
}
