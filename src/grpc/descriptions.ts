/** What the data plane says about models, as V2 gRPC messages. */
import type { TensorSpec } from "../contracts/index.ts";
import type { ModelConfig, ModelMetadata, ModelStatistics } from "../host/types.ts";
import { inference } from "./generated/inference.js";

const { DataType } = inference;

export function metadataMessage(metadata: ModelMetadata): inference.ModelMetadataResponse.Init {
  const { name, versions, platform, inputs, outputs } = metadata;
  return {
    name,
    versions,
    platform,
    inputs: inputs.map(tensorMetadata),
    outputs: outputs.map(tensorMetadata),
  };
}

function tensorMetadata({
  name,
  datatype,
  shape,
}: TensorSpec): inference.ModelMetadataResponse.TensorMetadata.Init {
  return { name, datatype, shape };
}

/** Statistics in Triton's form (V2 statistics extension): counts and cumulative nanoseconds. */
export function statisticsMessage(model: ModelStatistics): inference.ModelStatistics.Init {
  const { inferenceStats: stats } = model;
  return {
    name: model.name,
    version: model.version,
    lastInference: model.lastInference,
    inferenceCount: model.inferenceCount,
    executionCount: model.executionCount,
    inferenceStats: {
      success: stats.success,
      fail: stats.fail,
      queue: stats.queue,
      computeInput: stats.compute_input,
      computeInfer: stats.compute_infer,
      computeOutput: stats.compute_output,
      cacheHit: stats.cache_hit,
      cacheMiss: stats.cache_miss,
    },
    batchStats: model.batchStats,
  };
}

/**
 * The settings in force as Triton's ModelConfig message. `parameters` are those of model-settings.json: text
 * as it is, everything else as JSON. A version that is not a number has no place in `version_policy`.
 */
export function configMessage(config: ModelConfig): inference.ModelConfig.Init {
  const versions = listOf(listIn(config.version_policy, "specific", "versions"))
    .filter(isInteger)
    .map(BigInt);
  return {
    name: config.name,
    platform: config.platform,
    backend: textOf(config.backend),
    maxBatchSize: config.max_batch_size,
    input: listOf(config.input).map(configTensor),
    output: listOf(config.output).map(configTensor),
    parameters: parameterTexts(config.parameters),
    versionPolicy: versions.length > 0 ? { specific: { versions } } : undefined,
  };
}

function configTensor(tensor: unknown): inference.ModelInput.Init & inference.ModelOutput.Init {
  const { name, data_type, dims, optional } = fieldsOf(tensor);
  const type = textOf(data_type);
  return {
    name: textOf(name),
    dataType: Object.hasOwn(DataType, type) ? DataType[type as keyof typeof DataType] : DataType.TYPE_INVALID,
    dims: listOf(dims).map(Number),
    optional: optional === true,
  };
}

function parameterTexts(parameters: unknown): Record<string, inference.ModelParameter.Init> {
  const texts: Record<string, inference.ModelParameter.Init> = {};
  for (const [name, value] of Object.entries(fieldsOf(parameters))) {
    texts[name] = { stringValue: typeof value === "string" ? value : JSON.stringify(value) };
  }
  return texts;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function listIn(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce((inner: unknown, key) => fieldsOf(inner)[key], value);
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const isInteger = (version: unknown): version is string =>
  typeof version === "string" && /^\d{1,18}$/.test(version);
