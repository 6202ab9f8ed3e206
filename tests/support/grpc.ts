import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from "@grpc/grpc-js";
import type { Call, ChatRequest, InferRequest, Runtime, Tensor } from "../../src/contracts/index.ts";
import { CapstanError } from "../../src/contracts/index.ts";
import type { GrpcParts } from "../../src/grpc/parts.ts";
import { type GrpcListening, listenGrpc } from "../../src/grpc/server.ts";
import type { Method } from "../../src/grpc/wire.ts";
import type { DataPlane, IndexEntry, ModelResponse, RepositoryControl } from "../../src/host/types.ts";
import { type ServerSettings, serverSettingsSchema } from "../../src/settings/server.ts";
import type { LogLevel } from "../../src/telemetry/log.ts";
import { Metrics } from "../../src/telemetry/metrics.ts";

export type FakeModel = Pick<Runtime, "infer"> & Partial<Runtime>;

/** Answers with its inputs. */
export const IDENTITY: FakeModel = {
  infer: async ({ inputs }) => ({ outputs: inputs }),
  async [Symbol.asyncDispose]() {},
};

/** Models that are functions, without a host. */
export class FakePlane implements DataPlane {
  readonly #models: Readonly<Record<string, FakeModel>>;
  isReady = true;

  constructor(models: Readonly<Record<string, FakeModel>>) {
    this.#models = models;
  }

  #find(model: string, version?: string): FakeModel {
    const found = this.#models[model];
    if (found && (version === undefined || version === "1")) return found;
    throw new CapstanError(
      "NOT_FOUND",
      `There is no model '${model}'${version ? ` with version '${version}'` : ""}`,
    );
  }

  async infer(
    model: string,
    version: string | undefined,
    request: InferRequest,
    call: Call,
  ): Promise<ModelResponse> {
    const response = await this.#find(model, version).infer(request, call);
    return { modelName: model, modelVersion: "1", id: request.id, ...response };
  }

  async *inferStream(model: string, version: string | undefined, request: InferRequest, call: Call) {
    for await (const response of this.#find(model, version).inferStream!(request, call)) {
      yield { modelName: model, modelVersion: "1", id: request.id, ...response };
    }
  }

  streams(model: string, version: string | undefined) {
    return this.#find(model, version).inferStream !== undefined;
  }

  async *chat(model: string, version: string | undefined, request: ChatRequest, call: Call) {
    const { llm } = this.#find(model, version);
    if (llm === undefined) throw new CapstanError("UNSUPPORTED", `Model '${model}' is not a language model`);
    yield* llm.streamTokens(request, call);
  }

  async embed() {
    return [];
  }

  async tokenize() {
    return [];
  }

  async passthrough() {
    return new Response();
  }

  languageModels() {
    const models = Object.entries(this.#models).filter(([, { llm }]) => llm !== undefined);
    return models.map(([name]) => ({ name, version: "1" }));
  }

  languageModel(name: string) {
    return this.languageModels().find((model) => model.name === name);
  }

  signature(model: string, version: string | undefined) {
    return this.#find(model, version).inputs;
  }

  serverMetadata() {
    return { name: "capstan", version: "1.2.3", extensions: ["statistics"] };
  }

  serverReady() {
    return this.isReady;
  }

  modelMetadata(model: string, version?: string) {
    const { inputs = [], outputs = [] } = this.#find(model, version);
    return { name: model, versions: ["1"], platform: "fake", inputs, outputs };
  }

  modelReady(model: string, version?: string) {
    return this.#find(model, version).ready?.() ?? true;
  }

  modelConfig(model: string, version?: string) {
    this.#find(model, version);
    return {
      name: model,
      platform: "fake",
      backend: "./fake.ts",
      max_batch_size: 4,
      version_policy: { specific: { versions: ["7", "latest"] } },
      input: [{ name: "x", data_type: "TYPE_FP32", dims: [-1, 4], optional: true }],
      output: [{ name: "y", data_type: "TYPE_STRING", dims: [-1] }],
      parameters: { uri: "./model.onnx", extra: { threads: 2 } },
    };
  }

  statistics(model?: string, version?: string) {
    if (model) this.#find(model, version);
    const none = { count: 0, ns: 0 };
    const some = { count: 2, ns: 3000 };
    return (model ? [model] : Object.keys(this.#models)).map((name) => ({
      name,
      version: "1",
      lastInference: 1_700_000_000_000,
      inferenceCount: 5,
      executionCount: 2,
      inferenceStats: {
        success: some,
        fail: none,
        queue: none,
        compute_input: some,
        compute_infer: some,
        compute_output: some,
        cache_hit: none,
        cache_miss: none,
      },
      batchStats: [{ batchSize: 2, computeInput: some, computeInfer: some, computeOutput: some }],
    }));
  }
}

/** Keeps what it was told to do. */
export class FakeRepository implements RepositoryControl {
  readonly calls: unknown[] = [];

  index({ ready }: { readonly ready?: boolean } = {}): readonly IndexEntry[] {
    const entries: IndexEntry[] = [
      { name: "identity", version: "1", state: "READY", reason: "" },
      { name: "broken", version: "1", state: "UNAVAILABLE", reason: "no such file" },
    ];
    return ready ? entries.filter(({ state }) => state === "READY") : entries;
  }

  async load(model: string, config: string | undefined) {
    this.calls.push(["load", model, config]);
  }

  async unload(model: string) {
    this.calls.push(["unload", model]);
  }

  details() {
    return this.index();
  }

  async rollback() {}
  async pin() {}
  async unpin() {}
  async notify() {}
}

export interface Logged {
  readonly level: string;
  readonly fields: object;
  readonly message: string;
}

export interface TestGrpc extends AsyncDisposable {
  readonly listening: GrpcListening;
  readonly plane: FakePlane;
  readonly repository: FakeRepository;
  readonly metrics: Metrics;
  readonly parts: GrpcParts;
  readonly logged: readonly Logged[];
  readonly client: TestClient;
  connect(options?: ChannelOptions, secured?: ChannelCredentials): TestClient;
}

/** The gRPC transport over {@link FakePlane}, on a free port of loopback. */
export async function serveGrpc(
  models: Readonly<Record<string, FakeModel>> = { identity: IDENTITY },
  settings: Partial<Record<keyof ServerSettings, unknown>> = {},
): Promise<TestGrpc> {
  const logged: Logged[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void logged.push({ level, fields, message });
  const log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  let level: LogLevel = "info";
  const plane = new FakePlane(models);
  const repository = new FakeRepository();
  const metrics = new Metrics();
  const parts: GrpcParts = {
    plane,
    repository,
    metrics,
    settings: serverSettingsSchema.parse(settings),
    log,
    logControl: {
      level: () => level,
      setLevel(wanted) {
        level = wanted;
      },
    },
    stopping: () => false,
  };
  const listening = await listenGrpc(parts, { host: "127.0.0.1", port: 0 });
  const clients: TestClient[] = [];
  const connect = (options?: ChannelOptions, secured?: ChannelCredentials) => {
    const client = new TestClient(`127.0.0.1:${listening.port}`, options, secured);
    clients.push(client);
    return client;
  };
  return {
    listening,
    plane,
    repository,
    metrics,
    parts,
    logged,
    client: connect(),
    connect,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await listening.close();
    },
  };
}

export interface Reply<A> {
  readonly code: number;
  readonly details: string;
  readonly response: A;
  /** Initial and trailing metadata together. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface CallSettings {
  readonly headers?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

function metadataOf(headers: CallSettings["headers"] = {}): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

const deadlineOf = ({ deadlineMs = 15_000 }: CallSettings) => ({ deadline: Date.now() + deadlineMs });

/** A client whose failed calls are answers with a status, never exceptions. */
export class TestClient {
  readonly raw: Client;

  constructor(address: string, options: ChannelOptions = {}, secured = credentials.createInsecure()) {
    const limits = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
    this.raw = new Client(address, secured, { ...limits, "grpc.use_local_subchannel_pool": 1, ...options });
  }

  close(): void {
    this.raw.close();
  }

  unary<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    request: QI,
    settings: CallSettings = {},
  ): Promise<Reply<A>> {
    return this.unaryBytes(method, method.requestSerialize(request), settings);
  }

  /** Sends bytes that need not be a message. */
  unaryBytes<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    bytes: Buffer,
    settings: CallSettings = {},
  ): Promise<Reply<A>> {
    const { promise, resolve } = Promise.withResolvers<Reply<A>>();
    let response: A | undefined;
    const metadata: Record<string, unknown> = {};
    const call = this.raw.makeUnaryRequest(
      method.path,
      (message: Buffer) => message,
      method.responseDeserialize,
      bytes,
      metadataOf(settings.headers),
      deadlineOf(settings),
      (_error: ServiceError | null, value?: A) => {
        response = value;
      },
    );
    call.on("metadata", (given: Metadata) => Object.assign(metadata, given.getMap()));
    call.on("status", ({ code, details, metadata: trailers }: StatusObject) => {
      Object.assign(metadata, trailers.getMap());
      setImmediate(() => resolve({ code, details, response: response as A, metadata }));
    });
    return promise;
  }

  /** A bidirectional call whose messages are sent as bytes. */
  open<QI, Q extends QI, AI, A extends AI>(method: Method<QI, Q, AI, A>, settings: CallSettings = {}) {
    return this.raw.makeBidiStreamRequest(
      method.path,
      (message: Buffer) => message,
      method.responseDeserialize,
      metadataOf(settings.headers),
      deadlineOf(settings),
    );
  }

  /** Sends every request, ends the sending side, and reads until the end. */
  async stream<QI, Q extends QI, AI, A extends AI>(
    method: Method<QI, Q, AI, A>,
    requests: readonly QI[],
    settings: CallSettings = {},
  ): Promise<{ readonly code: number; readonly details: string; readonly messages: A[] }> {
    const call = this.open(method, settings);
    const messages: A[] = [];
    call.on("data", (message: A) => messages.push(message));
    for (const request of requests) call.write(method.requestSerialize(request));
    call.end();
    return { ...(await ended(call)), messages };
  }
}

interface Ending {
  on(event: "error", listener: () => void): unknown;
  on(event: "status", listener: (given: StatusObject) => void): unknown;
}

/** The status a stream ends with. */
export function ended(call: Ending): Promise<{ readonly code: number; readonly details: string }> {
  const { promise, resolve } = Promise.withResolvers<{ code: number; details: string }>();
  call.on("error", () => undefined);
  call.on("status", ({ code, details }) => resolve({ code, details }));
  return promise;
}

export const codeName = (code: number): string => status[code]!;

/** One FP32 input, typed. */
export function fp32(values: readonly number[], name = "x") {
  return { name, datatype: "FP32", shape: [values.length], contents: { fp32Contents: values } };
}

export function output(name: string, data: Float32Array): Tensor {
  return { name, datatype: "FP32", shape: [data.length], data };
}

/** A gRPC message as it goes over HTTP/2. */
export function framed(message: Buffer, compressed = 0): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed, 0);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
