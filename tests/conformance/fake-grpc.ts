/** The gRPC side of the fake server, with the same reference model. */
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
} from "@grpc/grpc-js";
import { contentValues, decodeBinary, encodeBinary, typedContents } from "../../src/conformance/binary.ts";
import { type Datatype, elementCount } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService, Health, ServerReflection } from "../../src/grpc/generated/services.ts";
import { FAKE_INPUTS, FAKE_NAME, FAKE_OUTPUTS, type FakeTensor, identity, Refusal } from "./fake-model.ts";

export type GrpcDefect =
  | "both-contents"
  | "raw-length"
  | "any-field"
  | "wraps"
  | "always-raw"
  | "no-id"
  | "wrong-code"
  | "stream-dies"
  | "not-ready-error";

type Request = inference.ModelInferRequest;
type Input = inference.ModelInferRequest.InferInputTensor;
type Response = inference.ModelInferResponse.Init;
type StreamCall = ServerDuplexStream<Request, inference.ModelStreamInferResponse.Init>;

const EXTENSIONS = ["binary_tensor_data", "model_repository", "statistics", "model_configuration"];

function check(condition: boolean, message: string): void {
  if (!condition) throw new Refusal(400, message);
}

class FakeGrpc {
  readonly #defects: ReadonlySet<GrpcDefect>;

  constructor(defects: readonly GrpcDefect[]) {
    this.#defects = new Set(defects);
  }

  #fromRaw(input: Input, raw: Uint8Array | undefined): FakeTensor {
    const datatype = input.datatype as Datatype;
    const shape = input.shape.map(Number);
    check(
      raw !== undefined && shape.every((size) => size >= 0),
      `Input '${input.name}': no contents, or no shape`,
    );
    const data = decodeBinary(datatype, raw ?? Buffer.alloc(0)).slice(0, elementCount(shape));
    const exact = encodeBinary(datatype, data).length === raw?.length || this.#defects.has("raw-length");
    check(exact, `Input '${input.name}': byte length`);
    return { name: input.name, datatype, shape, data };
  }

  #fromTyped(input: Input): FakeTensor {
    check(input.contents !== null, `Input '${input.name}' has no contents`);
    const datatype = input.datatype as Datatype;
    const shape = input.shape.map(Number);
    const values = contentValues(input.contents!);
    const tensor = { name: input.name, datatype, shape, data: values };
    const [field] = Object.keys(typedContents({ ...tensor, data: [] }) ?? {});
    const used = Object.entries(input.contents!).filter(([, list]) => list.length > 0);
    const only = used.every(([name]) => name === field);
    check(
      field !== undefined && (only || this.#defects.has("any-field")),
      `Input '${input.name}': wrong field`,
    );
    return {
      ...tensor,
      data: this.#defects.has("any-field") ? values.slice(0, elementCount(shape)) : values,
    };
  }

  #inputs(request: Request): FakeTensor[] {
    const { inputs, rawInputContents: raw } = request;
    if (raw.length === 0) return inputs.map((input) => this.#fromTyped(input));
    const typed = inputs.some(({ contents }) => contents !== null);
    check(!typed || this.#defects.has("both-contents"), "Raw and typed contents");
    check(raw.length === inputs.length, "As many raw contents as inputs are needed");
    return inputs.map((input, index) => this.#fromRaw(input, raw[index]));
  }

  infer(request: Request): Response {
    if (request.modelName !== FAKE_NAME) throw new Refusal(404, `There is no model '${request.modelName}'`);
    const outputs = identity(this.#inputs(request), this.#defects.has("wraps"));
    const raw = request.rawInputContents.length > 0 || this.#defects.has("always-raw");
    const described = outputs.map((output) => ({
      name: output.name,
      datatype: output.datatype,
      shape: output.shape,
      ...(raw ? {} : { contents: typedContents(output)! }),
    }));
    const rawOutputContents = raw ? outputs.map(({ datatype, data }) => encodeBinary(datatype, data)) : [];
    const id = this.#defects.has("no-id") ? "" : request.id;
    return { modelName: FAKE_NAME, modelVersion: "1", id, outputs: described, rawOutputContents };
  }

  #status(error: unknown): { code: number; details: string } {
    const code =
      error instanceof Refusal && error.status === 404 ? status.NOT_FOUND : status.INVALID_ARGUMENT;
    return { code: this.#defects.has("wrong-code") ? status.UNKNOWN : code, details: String(error) };
  }

  /** A handler that answers with what `answer` returns, or with the status of what it throws. */
  unary<Q, A>(answer: (request: Q) => A): handleUnaryCall<Q, A> {
    return (call, done) => {
      try {
        done(null, answer(call.request));
      } catch (error) {
        done(this.#status(error));
      }
    };
  }

  stream(call: StreamCall): void {
    call.on("data", (request: Request) => {
      try {
        const parameters = { triton_final_response: { boolParam: true } };
        call.write({ inferResponse: { ...this.infer(request), parameters } });
      } catch (error) {
        if (this.#defects.has("stream-dies")) call.emit("error", this.#status(error));
        else call.write({ errorMessage: String(error), inferResponse: { id: request.id } });
      }
    });
    call.on("end", () => call.end());
  }

  ready(name: string): boolean {
    if (name !== FAKE_NAME && this.#defects.has("not-ready-error")) throw new Refusal(404, "No such model");
    return name === FAKE_NAME;
  }
}

function known(name: string): void {
  if (name !== FAKE_NAME) throw new Refusal(404, `There is no model '${name}'`);
}

function handlers(fake: FakeGrpc) {
  const named = <A>(answer: A) =>
    fake.unary((request: { name: string }) => {
      known(request.name);
      return answer;
    });
  const metadata = {
    name: FAKE_NAME,
    versions: ["1"],
    platform: "fake",
    inputs: FAKE_INPUTS,
    outputs: FAKE_OUTPUTS,
  };
  return {
    ServerLive: fake.unary(() => ({ live: true })),
    ServerReady: fake.unary(() => ({ ready: true })),
    ModelReady: fake.unary(({ name }: { name: string }) => ({ ready: fake.ready(name) })),
    ServerMetadata: fake.unary(() => ({ name: "fake", version: "1", extensions: EXTENSIONS })),
    ModelMetadata: named(metadata),
    ModelInfer: fake.unary((request: Request) => fake.infer(request)),
    ModelStreamInfer: (call: StreamCall) => fake.stream(call),
    ModelStatistics: named({ modelStats: [{ name: FAKE_NAME, inferenceStats: { success: { count: 1 } } }] }),
    ModelConfig: named({ config: { name: FAKE_NAME } }),
    RepositoryIndex: fake.unary(() => ({ models: [{ name: FAKE_NAME }, { name: "words" }] })),
  };
}

function reflect(call: ServerDuplexStream<unknown, unknown>): void {
  const service = [{ name: "inference.GRPCInferenceService" }];
  call.on("data", () => call.write({ listServicesResponse: { service } })).on("end", () => call.end());
}

/** A running fake; dispose to stop it. */
export async function startFakeGrpc(
  ...defects: GrpcDefect[]
): Promise<AsyncDisposable & { address: string }> {
  const fake = new FakeGrpc(defects);
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  server.addService(GRPCInferenceService, handlers(fake));
  server.addService({ Check: Health.Check }, { Check: fake.unary(() => ({ status: 1 })) });
  server.addService(ServerReflection, { ServerReflectionInfo: reflect });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error ? reject(error) : resolve(port),
  );
  return {
    address: `127.0.0.1:${await promise}`,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
    },
  };
}
