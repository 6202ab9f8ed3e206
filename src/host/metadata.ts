import type { TensorSpec } from "../contracts/index.ts";
import type { Generation } from "./generation.ts";
import type { ModelConfig, ModelMetadata } from "./types.ts";

/** Model metadata of V2: from the artifact where model-settings.json does not give it. */
export function describeModel(generation: Generation, versions: readonly string[]): ModelMetadata {
  const { runtime, spec, settings } = generation;
  const { content_type } = settings.parameters;
  const parameters = { ...runtime.parameters, ...(content_type ? { content_type } : {}) };
  return {
    name: spec.name,
    versions,
    platform: settings.platform || runtime.platform || "",
    inputs: runtime.inputs ?? spec.inputs ?? [],
    outputs: runtime.outputs ?? spec.outputs ?? [],
    ...(Object.keys(parameters).length > 0 ? { parameters } : {}),
  };
}

/** Keys whose values, and all below them, may be credentials. */
const SECRET_KEY = /token|secret|password|passwd|api_?key|credential|authorization|^headers$/i;
const PLACEHOLDER_ONLY = /^\$\{[^}]*\}$/;

/**
 * The settings in force, and the model's signature in the words of Triton's model configuration (`input`,
 * `output`, `data_type`, `dims` without the batch dimension where the server batches).
 */
export function describeConfig(generation: Generation): ModelConfig {
  const { runtime, spec, settings, raw } = generation;
  const { $schema: _, ...written } = raw;
  const batches = settings.max_batch_size > 0;
  return {
    ...(withoutSecrets(written) as Record<string, unknown>),
    name: spec.name,
    platform: settings.platform || runtime.platform || "",
    backend: settings.implementation,
    version_policy: { specific: { versions: [spec.version] } },
    max_batch_size: settings.max_batch_size,
    max_batch_time: settings.max_batch_time,
    input: (runtime.inputs ?? []).map((spec) => configTensor(spec, batches)),
    output: (runtime.outputs ?? []).map((spec) => configTensor(spec, batches)),
  };
}

function configTensor(spec: TensorSpec, batches: boolean) {
  return {
    name: spec.name,
    data_type: spec.datatype === "BYTES" ? "TYPE_STRING" : `TYPE_${spec.datatype}`,
    dims: batches && spec.shape[0] === -1 ? spec.shape.slice(1) : spec.shape,
    ...(spec.optional ? { optional: true } : {}),
  };
}

/** Literal secrets are blanked; `${VAR}` is shown as it was written. */
function withoutSecrets(value: unknown, secret = false): unknown {
  if (Array.isArray(value)) return value.map((inner) => withoutSecrets(inner, secret));
  if (typeof value !== "object" || value === null) return secret && isLiteral(value) ? "[redacted]" : value;
  const fields = Object.entries(value).map(([key, inner]) => [
    key,
    withoutSecrets(inner, secret || SECRET_KEY.test(key)),
  ]);
  return Object.fromEntries(fields);
}

const isLiteral = (value: unknown) => typeof value === "string" && !PLACEHOLDER_ONLY.test(value);
