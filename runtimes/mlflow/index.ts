import { z } from "zod";
import {
  type Call,
  defineRuntime,
  type Host,
  type ModelSpec,
  type Runtime,
} from "../../src/contracts/index.ts";
import { failed, onnxFlavor, readMlModel } from "./mlmodel.ts";
import { planFeeds } from "./plan.ts";
import { MlflowRuntime } from "./runtime.ts";
import { readSignature } from "./signature.ts";

const options = z.strictObject({
  /** Options of the onnx runtime; they are stronger than the session options in the MLmodel file. */
  onnx: z.record(z.string(), z.unknown()).default({}),
});

type MlflowOptions = z.output<typeof options>;

/**
 * Serves MLflow model folders: the onnx flavour in process, behind the signature in the MLmodel file. Models
 * that exist as python_function alone do not load, and the reason says how to serve them.
 */
export default defineRuntime<MlflowOptions>({ name: "mlflow", options, load });

async function load(model: ModelSpec, { onnx }: MlflowOptions, host: Host, call: Call): Promise<Runtime> {
  call.signal.throwIfAborted();
  const { folder, document } = await readMlModel(model);
  const { file, session } = onnxFlavor(model, folder, document);
  const signature = readSignature(model, document.signature);
  if (signature !== undefined && model.inputs !== undefined) {
    call.log.warn(
      { model: model.name },
      "The MLmodel file has a signature: inputs in model-settings.json have no effect",
    );
  }
  const inner = { ...model, artifact: file, inputs: signature === undefined ? model.inputs : undefined };
  const runtime = await host.runtime("onnx", inner, { ...session, ...onnx }, call);
  if (signature === undefined) return runtime;
  await using stack = new AsyncDisposableStack();
  stack.use(runtime);
  const { inputs } = runtime;
  if (inputs === undefined)
    throw failed(model, `${file} leaves the rank of an input open, so that its signature cannot be enforced`);
  const served = new MlflowRuntime(runtime, signature, planFeeds(model, signature, inputs));
  stack.move();
  return served;
}
