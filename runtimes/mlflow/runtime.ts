import type { Call, InferRequest, InferResponse, Runtime, TensorSpec } from "../../src/contracts/index.ts";
import { enforce } from "./enforce.ts";
import type { Feeds } from "./plan.ts";
import type { Signature } from "./signature.ts";

/** An ONNX model behind its MLflow signature. Answers say whether they are a data frame's columns or tensors. */
export class MlflowRuntime implements Runtime {
  readonly platform = "mlflow_onnx";
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[] | undefined;
  readonly #onnx: Runtime;
  readonly #signature: Signature;
  readonly #feeds: Feeds;

  constructor(onnx: Runtime, signature: Signature, feeds: Feeds) {
    this.#onnx = onnx;
    this.#signature = signature;
    this.#feeds = feeds;
    this.inputs = signature.inputs;
    this.outputs = onnx.outputs;
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    call.signal.throwIfAborted();
    const { inputs, rows } = enforce(this.#signature, request);
    const { outputs } = await this.#onnx.infer({ ...request, inputs: this.#feeds(inputs, rows) }, call);
    return { outputs, parameters: { content_type: this.#signature.kind === "columns" ? "pd" : "dict" } };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#onnx[Symbol.asyncDispose]());
  }
}
