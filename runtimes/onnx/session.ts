import type { InferenceSession, OnnxValue } from "onnxruntime-node";
import {
  type Call,
  CapstanError,
  type InferRequest,
  type InferResponse,
  invalid,
  type RequestedOutput,
  type Runtime,
  type TensorSpec,
} from "../../src/contracts/index.ts";
import { fromOnnx, toOnnx } from "./tensors.ts";

export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  /** False where the file does not tell the rank of an input: requests are then not checked against it. */
  readonly complete: boolean;
}

/** What onnxruntime says when a request does not fit the graph's declared inputs. */
const REQUEST_FAULT =
  /^(Unexpected input data type|Got invalid dimensions for input|Invalid rank for input|Tensor\.dims\[)/;

/**
 * A loaded ONNX model. `session.run` is synchronous native code on this thread: an abort is seen before it and
 * after it, never within, and what would abort (a timer, a closed socket) is itself held up by the run.
 */
export class OnnxRuntime implements Runtime {
  readonly platform = "onnxruntime_onnx";
  readonly inputs: readonly TensorSpec[] | undefined;
  readonly outputs: readonly TensorSpec[];
  readonly #model: string;
  readonly #session: InferenceSession;
  readonly #inputs: ReadonlyMap<string, TensorSpec>;
  readonly #outputs: ReadonlyMap<string, TensorSpec>;
  #running = 0;
  #idle = (): void => {};
  #disposal: Promise<void> | undefined;

  constructor(model: string, session: InferenceSession, { inputs, outputs, complete }: Signature) {
    this.#model = model;
    this.#session = session;
    this.inputs = complete ? inputs : undefined;
    this.outputs = outputs;
    this.#inputs = new Map(inputs.map((spec) => [spec.name, spec]));
    this.#outputs = new Map(outputs.map((spec) => [spec.name, spec]));
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    call.signal.throwIfAborted();
    const feeds = this.#feeds(request);
    const results = await this.#run(feeds, this.#fetches(request.outputs));
    call.signal.throwIfAborted();
    const outputs = Object.keys(results).map((name) => fromOnnx(results[name]!, this.#outputs.get(name)!));
    return { outputs };
  }

  #feeds({ inputs }: InferRequest): Record<string, OnnxValue> {
    const feeds: Record<string, OnnxValue> = {};
    for (const tensor of inputs) {
      const spec = this.#inputs.get(tensor.name);
      if (spec === undefined) throw invalid(`Model '${this.#model}' has no input '${tensor.name}'`);
      feeds[tensor.name] = toOnnx(tensor, spec);
    }
    for (const name of this.#inputs.keys()) {
      if (!Object.hasOwn(feeds, name)) throw invalid(`Input '${name}' is missing; the ONNX file requires it`);
    }
    return feeds;
  }

  /** Only these are computed; undefined means all. */
  #fetches(requested: readonly RequestedOutput[] = []): string[] | undefined {
    if (requested.length === 0) return undefined;
    return requested.map(({ name }) => {
      if (this.#outputs.has(name)) return name;
      throw invalid(`Model '${this.#model}' has no output '${name}'`);
    });
  }

  async #run(feeds: Record<string, OnnxValue>, fetches?: string[]): Promise<InferenceSession.ReturnType> {
    if (this.#disposal !== undefined) {
      throw new CapstanError("NOT_READY", `Model '${this.#model}' has been unloaded`);
    }
    this.#running += 1;
    try {
      return await (fetches === undefined ? this.#session.run(feeds) : this.#session.run(feeds, fetches));
    } catch (cause) {
      throw this.#failure(cause as Error);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle();
    }
  }

  #failure(cause: Error): CapstanError {
    const text = cause.message.trim();
    if (REQUEST_FAULT.test(text)) return invalid(`Model '${this.#model}': ${text}`, { cause });
    return new CapstanError("INTERNAL", `Model '${this.#model}' failed: ${text}`, { cause });
  }

  /** Runs under way finish first: releasing a session fails what is queued on it. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#release();
    return this.#disposal;
  }

  async #release(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    await this.#session.release();
  }
}
