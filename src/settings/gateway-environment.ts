import { existsSync } from "node:fs";
import { basename, extname, resolve } from "node:path";
import type { Environment } from "./interpolate.ts";
import { type Problem, SettingsError } from "./problems.ts";

/** Names of devices as the gateways' users write them, and what a GGUF file's adapter calls them. */
const DEVICES: Readonly<Record<string, string>> = {
  ...{ auto: "auto", cpu: "cpu", cuda: "cuda", vulkan: "vulkan" },
  ...{ metal: "metal", mps: "metal" },
};
/** Those that run a folder in ONNX. */
const ONNX_DEVICES: readonly string[] = ["auto", "cpu", "cuda"];
/** A quantized model in a file of its own; a folder is a Hugging Face model in ONNX. */
const GGUF = ".gguf";

/** A model that the variables of an LLM gateway describe, in the form of model-settings.json. */
export type GatewayModel = Readonly<Record<string, unknown>> & { readonly name: string };

/**
 * The one model that `VLLM_URL`, `LLAMA_MODEL_PATH` or a path in `MODEL_NAME` asks for; undefined when none of them
 * does. At `VLLM_URL` it is named by `MODEL_NAME`, or else by `DEFAULT_MODEL`. `DEVICE`, `MAX_LENGTH` (tokens of an
 * answer), `TEMPERATURE` and `TIMEOUT_MS` tune it. Nothing is downloaded.
 * @throws SettingsError naming the variable that cannot be used.
 */
export function gatewayModel(env: Environment, cwd: string): GatewayModel | undefined {
  const { VLLM_URL, LLAMA_MODEL_PATH, MODEL_NAME, DEFAULT_MODEL } = env;
  if (VLLM_URL) return upstream(VLLM_URL, MODEL_NAME || DEFAULT_MODEL, env, cwd);
  const path = LLAMA_MODEL_PATH || (MODEL_NAME && isPath(MODEL_NAME, cwd) ? MODEL_NAME : undefined);
  if (path === undefined) return undefined;
  const artifact = resolve(cwd, path);
  const variable = LLAMA_MODEL_PATH ? "LLAMA_MODEL_PATH" : "MODEL_NAME";
  if (!existsSync(artifact)) throw refused(variable, `there is no ${artifact}; nothing is downloaded`, cwd);
  return inProcess(artifact, env, cwd);
}

/** A repository's models have names without slashes, so that a value with one, or that is there, is a path. */
export function isPath(name: string, cwd: string): boolean {
  return /^(\.{1,2}|~)?[\\/]/.test(name) || extname(name) === GGUF || existsSync(resolve(cwd, name));
}

/** Whether a text is an address such as http://gpu:8000. */
export const isHttpAddress = (text: string): boolean => /^https?:\/\//i.test(text) && URL.canParse(text);

function upstream(url: string, remote: string | undefined, env: Environment, cwd: string): GatewayModel {
  if (!isHttpAddress(url))
    throw refused("VLLM_URL", `is '${url}', which is no address such as http://gpu:8000`, cwd);
  if (!remote)
    throw refused("VLLM_URL", "needs MODEL_NAME or DEFAULT_MODEL: the model's name at that address", cwd);
  const { TIMEOUT_MS } = env;
  const timeout = TIMEOUT_MS ? { upstream_timeout: `${wholeOf("TIMEOUT_MS", TIMEOUT_MS, cwd)}ms` } : {};
  return model(basename(remote), { framework: "openai", base_url: url, model: remote, ...timeout }, env, cwd);
}

function inProcess(artifact: string, env: Environment, cwd: string): GatewayModel {
  const framework = extname(artifact) === GGUF ? "llama-cpp" : "transformers";
  const device = env.DEVICE ? deviceOf(env.DEVICE, framework, cwd) : undefined;
  const where = device ? { device } : {};
  return model(basename(artifact, GGUF), { framework, ...where }, env, cwd, artifact);
}

function deviceOf(text: string, framework: string, cwd: string): string {
  const device = DEVICES[text.toLowerCase()];
  if (framework === "transformers" && !ONNX_DEVICES.includes(device ?? ""))
    throw refused("DEVICE", `must be cpu, cuda or auto for a folder in ONNX, and is '${text}'`, cwd);
  if (device === undefined)
    throw refused("DEVICE", `must be cpu, cuda, metal (or mps), vulkan or auto, and is '${text}'`, cwd);
  return device;
}

function model(
  name: string,
  options: object,
  { MAX_LENGTH, TEMPERATURE }: Environment,
  cwd: string,
  uri?: string,
): GatewayModel {
  const sampling = {
    ...(MAX_LENGTH ? { max_tokens: wholeOf("MAX_LENGTH", MAX_LENGTH, cwd) } : {}),
    ...(TEMPERATURE ? { temperature: numberOf("TEMPERATURE", TEMPERATURE, cwd) } : {}),
  };
  const extra = { ...options, ...(Object.keys(sampling).length > 0 ? { sampling } : {}) };
  return { name, implementation: "llm", parameters: { ...(uri === undefined ? {} : { uri }), extra } };
}

function numberOf(variable: string, text: string, cwd: string): number {
  const value = Number(text);
  if (Number.isFinite(value)) return value;
  throw refused(variable, `must be a number, and is '${text}'`, cwd);
}

function wholeOf(variable: string, text: string, cwd: string): number {
  if (/^\s*[1-9]\d*\s*$/.test(text)) return Number(text);
  throw refused(variable, `must be a whole number from 1 up, and is '${text}'`, cwd);
}

/** The error that names a variable. */
export function refused(variable: string, message: string, cwd: string): SettingsError {
  const problem: Problem = { file: variable, key: "", message, severity: "error" };
  return new SettingsError([problem], cwd);
}
