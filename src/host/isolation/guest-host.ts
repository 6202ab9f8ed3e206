import type {
  AdapterPlugin,
  Call,
  CapLLM,
  ChatRequest,
  Host,
  InferRequest,
  InferResponse,
  Log,
  ModelClient,
  ModelSpec,
  Part,
  Runtime,
  RuntimePlugin,
  UserCode,
} from "../../contracts/index.ts";
import { parseOptions } from "../options.ts";
import { loadPlugin } from "../plugins.ts";
import { attributedLLM, attributedRuntime } from "../user-code/attributed.ts";
import { type Owner, owns, runAs } from "../user-code/strays.ts";
import { UserModule } from "../user-code/user-module.ts";
import type { Peer } from "./peer.ts";
import type { Loaded, Task } from "./task.ts";
import { type Packed, packRequest, unpackResponse } from "./tensors.ts";

type FetchOptions = Parameters<Host["fetch"]>[3];

/** The {@link Host} of a plugin in a thread or process: plugins and code are loaded there, the rest is the server's. */
export class GuestHost implements Host {
  readonly #peer: Peer;
  readonly #owner: Owner;
  readonly #connections = new Map<string, Promise<void>>();

  constructor(peer: Peer, { name, folder }: ModelSpec, log: Log) {
    this.#peer = peer;
    this.#owner = { model: name, folder, log, hasCode: false };
  }

  /** @throws CapstanError LOAD_FAILED, also when the model would be part of a cycle of models. */
  async load(task: Task, call: Call): Promise<Loaded> {
    const { kind, plugin: name, model, options } = task;
    const plugin = await loadPlugin(kind, name, model.folder);
    const parsed = parseOptions(plugin.options, options, "parameters.extra");
    await using unfinished = new AsyncDisposableStack();
    const made = unfinished.use(
      await runAs(this.#owner, () =>
        (plugin as RuntimePlugin | AdapterPlugin).load(model, parsed, this, call),
      ),
    );
    await Promise.all(this.#connections.values());
    unfinished.move();
    return kind === "runtime" ? this.#loadedRuntime(made as Runtime) : this.#loadedLLM(made as CapLLM);
  }

  #loadedRuntime(made: Runtime): Loaded {
    const runtime = this.#owner.hasCode ? attributedRuntime(made, this.#owner) : made;
    return { runtime, disposable: made, ...(runtime.llm === undefined ? {} : { llm: runtime.llm }) };
  }

  #loadedLLM(made: CapLLM): Loaded {
    return { llm: this.#owner.hasCode ? attributedLLM(made, this.#owner) : made, disposable: made };
  }

  async runtime(name: string, model: ModelSpec, options: unknown, call: Call): Promise<Runtime> {
    const plugin = await loadPlugin("runtime", name, model.folder);
    return plugin.load(model, parseOptions(plugin.options, options, "parameters.extra"), this, call);
  }

  async adapter(name: string, model: ModelSpec, options: unknown, call: Call): Promise<CapLLM> {
    const plugin = await loadPlugin("adapter", name, model.folder);
    return plugin.load(model, parseOptions(plugin.options, options, "parameters.extra"), this, call);
  }

  /** A cycle is a fault of the load, which waits for the connections made in it. */
  model(name: string): ModelClient {
    const known = this.#connections.get(name);
    const signal = new AbortController().signal;
    const call = { signal, requestId: "", log: this.#owner.log };
    const connected = known ?? this.#peer.ask<void>("connect", name, call);
    connected.catch(() => {});
    this.#connections.set(name, connected);
    return new RemoteModel(name, this.#peer, connected);
  }

  fetch(uri: string, directory: string, call: Call, options?: FetchOptions): Promise<void> {
    return this.#peer.ask("fetch", { uri, directory, options }, call);
  }

  async code(file: string, call: Call): Promise<UserCode> {
    await this.#peer.ask("trust", file, call);
    owns(this.#owner);
    return runAs(this.#owner, () => UserModule.import(this.#owner.folder, file, call));
  }

  /** The server puts its layers around what it gets from here. */
  languageModel(llm: CapLLM): CapLLM {
    return llm;
  }
}

class RemoteModel implements ModelClient {
  readonly #name: string;
  readonly #peer: Peer;
  readonly #connected: Promise<void>;

  constructor(name: string, peer: Peer, connected: Promise<void>) {
    this.#name = name;
    this.#peer = peer;
    this.#connected = connected;
  }

  async infer(request: InferRequest, call: Call): Promise<InferResponse> {
    await this.#connected;
    const packed = packRequest(request);
    const args = { model: this.#name, request: packed };
    return unpackResponse(await this.#peer.ask<Packed<InferResponse>>("infer", args, call, [packed.buffer]));
  }

  async *chat(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    await this.#connected;
    yield* this.#peer.stream<Part>("chat", { model: this.#name, request }, call);
  }

  async embed(texts: readonly string[], call: Call): Promise<Float32Array[]> {
    await this.#connected;
    return this.#peer.ask("embed", { model: this.#name, texts }, call);
  }
}
