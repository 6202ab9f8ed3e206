import { setTimeout as delay } from "node:timers/promises";
import {
  type Call,
  CapstanError,
  type InferRequest,
  type InferResponse,
  type ModelSpec,
  type Runtime,
} from "../../src/contracts/index.ts";
import type { RemoteMetadata } from "./backend.ts";
import type { Backends } from "./backends.ts";
import { nameContent } from "./content.ts";

/** A model that other servers answer for. */
export class RemoteRuntime implements Runtime {
  readonly platform: Runtime["platform"];
  readonly inputs: Runtime["inputs"];
  readonly outputs: Runtime["outputs"];
  /** Absent over HTTP: V2 REST has no infer with several answers. */
  readonly inferStream?: NonNullable<Runtime["inferStream"]>;
  readonly #name: string;
  readonly #backends: Backends;
  readonly #patienceMs: number;
  /** Requests under way; whoever disposes waits for them. */
  readonly #pending = new Set<Promise<void>>();
  #disposal: Promise<void> | undefined;

  /** @param patienceMs how long disposing waits for what is under way. */
  constructor(model: ModelSpec, metadata: RemoteMetadata, backends: Backends, patienceMs: number) {
    this.#name = model.name;
    this.platform = model.platform ?? metadata.platform;
    this.inputs = model.inputs ?? metadata.inputs;
    this.outputs = model.outputs ?? metadata.outputs;
    this.#backends = backends;
    this.#patienceMs = patienceMs;
    if (backends.streams) this.inferStream = (request, call) => this.#stream(request, call);
  }

  ready(): boolean {
    return this.#backends.ready;
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    call.signal.throwIfAborted();
    using _ = this.#enter();
    const named = nameContent(request, this.inputs);
    return await this.#backends.run(call, (backend) => backend.infer(named, call));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    await this.#disposal;
  }

  async *#stream(request: InferRequest, call: Call): AsyncGenerator<InferResponse> {
    call.signal.throwIfAborted();
    using _ = this.#enter();
    const named = nameContent(request, this.inputs);
    yield* this.#backends.stream(call, (backend) => backend.inferStream!(named, call));
  }

  #enter(): Disposable {
    if (this.#disposal !== undefined) {
      throw new CapstanError("NOT_READY", `Remote model '${this.#name}' is unloaded`);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pending.add(promise);
    return {
      [Symbol.dispose]: () => {
        this.#pending.delete(promise);
        resolve();
      },
    };
  }

  async #dispose(): Promise<void> {
    const stop = new AbortController();
    const patience = delay(this.#patienceMs, undefined, { signal: stop.signal }).catch(() => {});
    await Promise.race([Promise.all(this.#pending), patience]);
    stop.abort();
    await this.#backends[Symbol.asyncDispose]();
  }
}
