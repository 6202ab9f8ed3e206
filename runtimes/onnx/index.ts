import type { InferenceSession } from "onnxruntime-node";
import { type Call, defineRuntime, type ModelSpec, type Runtime } from "../../src/contracts/index.ts";
import { failed, onnxFile } from "./artifact.ts";
import { inputsOfOpenRank } from "./open-rank.ts";
import { type OnnxOptions, onnxOptions } from "./options.ts";
import { OnnxRuntime, type Signature } from "./session.ts";
import { specsOf, withSettings } from "./signature.ts";

type Ort = typeof import("onnxruntime-node");

/** Serves ONNX files with onnxruntime-node, which is imported when the first model loads. */
export default defineRuntime<OnnxOptions>({
  name: "onnx",
  options: onnxOptions,
  overridable: ["intra_op_threads", "inter_op_threads", "graph_optimization"],
  load,
});

async function load(model: ModelSpec, options: OnnxOptions, _host: unknown, call: Call): Promise<Runtime> {
  call.signal.throwIfAborted();
  const file = await onnxFile(model);
  const session = await createSession(model, file, options);
  try {
    const signature = await signatureOf(model, file, session);
    call.signal.throwIfAborted();
    return new OnnxRuntime(model.name, session, signature);
  } catch (reason) {
    await session.release();
    throw reason;
  }
}

/** Reads and optimizes the graph: native code that holds this thread until it is done. */
async function createSession(
  model: ModelSpec,
  file: string,
  options: OnnxOptions,
): Promise<InferenceSession> {
  const ort = await import("onnxruntime-node");
  requireProviders(model, ort, options.execution_providers);
  try {
    return await ort.InferenceSession.create(file, {
      executionProviders: options.execution_providers,
      intraOpNumThreads: options.intra_op_threads,
      interOpNumThreads: options.inter_op_threads,
      executionMode: options.inter_op_threads === 1 ? "sequential" : "parallel",
      graphOptimizationLevel: options.graph_optimization,
      logSeverityLevel: 4,
    });
  } catch (cause) {
    throw failed(model, `onnxruntime cannot load ${file}: ${explain((cause as Error).message)}`, cause);
  }
}

/** onnxruntime itself would quietly leave out a provider it does not know. */
function requireProviders(model: ModelSpec, ort: Ort, wanted: readonly string[]): void {
  const known = ort.listSupportedBackends().map(({ name }) => name);
  const unknown = wanted.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw failed(model, `execution provider '${unknown}' is not in this build, which has ${known.join(", ")}`);
}

/** Numbers of TensorProto.DataType that onnxruntime-node cannot exchange. */
function explain(message: string): string {
  const number = /^Unsupported data type: (\d+)$/.exec(message)?.[1];
  if (number === undefined) return message;
  const name = number === "16" ? "BF16" : `of element type ${number} of onnx.proto`;
  return `an input or output is ${name}, which onnxruntime-node cannot exchange; export it as FP32 or FP16`;
}

async function signatureOf(model: ModelSpec, file: string, session: InferenceSession): Promise<Signature> {
  const inputs = specsOf(model, "input", session.inputMetadata);
  const outputs = specsOf(model, "output", session.outputMetadata);
  const scalar = inputs.some(({ shape }) => shape.length === 0);
  const open = scalar ? await inputsOfOpenRank(file) : new Set<string>();
  const given = new Set(model.inputs?.map(({ name }) => name));
  return {
    inputs: withSettings(model, "input", inputs, model.inputs, open),
    outputs: withSettings(model, "output", outputs, model.outputs),
    complete: open.isSubsetOf(given),
  };
}
