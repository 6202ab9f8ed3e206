import type {
  Call,
  InferRequest,
  InferResponse,
  Parameters,
  Runtime,
  TensorSpec,
} from "../../src/contracts/index.ts";
import { enforce } from "./enforce.ts";
import type { Feeds } from "./plan.ts";
import type { Signature } from "./signature.ts";

/** An ONNX model behind its MLflow signature. Answers say whether they are a data frame's columns or tensors. */
export class MlflowRuntime implements Runtime {
  readonly platform = "mlflow_onnx";
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[] | undefined;
  readonly parameters: Parameters;
  readonly #onnx: Runtime;
  readonly #signature: Signature;
  readonly #feeds: Feeds;

  constructor(onnx: Runtime, signature: Signature, feeds: Feeds) {
    this.#onnx = onnx;
    this.#signature = signature;
    this.#feeds = feeds;
    this.inputs = signature.inputs;
    this.outputs = onnx.outputs;
    this.parameters = { content_type: signature.kind === "columns" ? "pd" : "dict" };
  }

  /** MLflow's schema enforcement: inputs by the names and datatypes of the signature. */
  prepare(request: InferRequest): InferRequest {
    const { inputs } = enforce(this.#signature, request);
    return { ...request, inputs: Array.from(inputs, ([name, tensor]) => ({ ...tensor, name })) };
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    call.signal.throwIfAborted();
    const { inputs, rows } = enforce(this.#signature, request);
    const { outputs } = await this.#onnx.infer({ ...request, inputs: this.#feeds(inputs, rows) }, call);
    return { outputs, parameters: this.parameters };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#onnx[Symbol.asyncDispose]());
  }
}
