import type { Call } from "./call.ts";
import type { CapLLM } from "./cap-llm.ts";
import type { Host } from "./host.ts";
import type { OptionsSchema } from "./options.ts";
import type { Parameters, Tensor, TensorSpec } from "./tensors.ts";

export interface RequestedOutput {
  readonly name: string;
  readonly parameters?: Parameters;
}

export interface InferRequest {
  readonly id?: string;
  readonly parameters: Parameters;
  /** Checked by the host against the runtime's `inputs`: names, datatypes and shapes fit. */
  readonly inputs: readonly Tensor[];
  /** Absent: all. A runtime may return more than asked for; the host picks and orders. */
  readonly outputs?: readonly RequestedOutput[];
}

export interface InferResponse {
  readonly outputs: readonly Tensor[];
  readonly parameters?: Parameters;
}

/** What `model-settings.json` says about one version of one model, with its artifact on local disk. */
export interface ModelSpec {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the folder that holds `model-settings.json`. */
  readonly folder: string;
  /** Absolute path of what `parameters.uri` points at; absent when there is no uri, or when it is an address. */
  readonly artifact?: string;
  /** `parameters.uri` as written. */
  readonly uri?: string;
  readonly platform?: string;
  /** Signature written by hand: it names optional inputs and metadata, and must fit the artifact. */
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
  /** The host remembers its conversations: what remembers them itself must not, or be refused. */
  readonly remembers?: boolean;
}

/** A loaded model. It exists, so it is usable: there is no ready flag and no second init step. */
export interface Runtime extends AsyncDisposable {
  /** The field's name for the format, such as `onnxruntime_onnx`. */
  readonly platform?: string;
  /** Absent: the signature is not known, and requests are not checked against it. */
  readonly inputs?: readonly TensorSpec[];
  readonly outputs?: readonly TensorSpec[];
  /** Metadata of the model as a whole, such as `content_type`. */
  readonly parameters?: Parameters;
  /**
   * Conversions that the model's format defines, such as MLflow's from integer to double. The host calls it
   * before it compares a request with `inputs`. Absent: requests must fit as they are.
   */
  prepare?(request: InferRequest): InferRequest;
  /**
   * Several calls may be under way at once. Rejects with `call.signal.reason` when aborted, and with NOT_READY
   * after disposal.
   */
  infer(request: InferRequest, call: Call): Promise<InferResponse>;
  /** Several responses to one request. Leaving the loop early ends the work. */
  inferStream?(request: InferRequest, call: Call): AsyncIterable<InferResponse>;
  /** How many `infer` calls it works on at once; absent: one, and more than one wait for each other. */
  readonly concurrency?: number;
  /** Present on a language model. */
  readonly llm?: CapLLM;
  /** Absent: always. False while a backend that the model depends on cannot answer. */
  ready?(): boolean;
}

export interface RuntimePlugin<O = unknown> {
  readonly kind: "runtime";
  /** The name used as `implementation`, equal to the file's name. */
  readonly name: string;
  readonly options: OptionsSchema<O>;
  /** Options a repository call may change (never an address, a path or code). Default: none. */
  readonly overridable?: readonly string[];
  /** What `parameters.uri` means: files that a resolver brings (the default), or an address left alone. */
  readonly uri?: "artifact" | "address";
  /** @throws CapstanError LOAD_FAILED saying what is wrong with the artifact and what to do. */
  load(model: ModelSpec, options: O, host: Host, call: Call): Promise<Runtime>;
}

export function defineRuntime<O>(plugin: Omit<RuntimePlugin<O>, "kind">): RuntimePlugin<O> {
  return { kind: "runtime", ...plugin };
}
