import { type Metadata, Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";

export type Answers = ServerDuplexStream<
  inference.ModelInferRequest,
  inference.ModelStreamInferResponse.Init
>;

export interface Seen {
  readonly request: inference.ModelInferRequest;
  readonly metadata: Metadata;
}

/** A gRPC server whose ModelStreamInfer answers as a test says. */
export class FakeUpstream implements Disposable {
  readonly #server = new Server();
  readonly seen: Seen[] = [];
  address = "";

  /** @param bare answers are the bare responses that MLServer sends. */
  static async start(
    answer: (stream: Answers, request: inference.ModelInferRequest) => void,
    bare = false,
  ): Promise<FakeUpstream> {
    const fake = new FakeUpstream();
    const { ModelStreamInfer: method, ModelInfer, ServerReady } = GRPCInferenceService;
    const bareForm = ({ inferResponse }: inference.ModelStreamInferResponse.Init) =>
      ModelInfer.responseSerialize(inferResponse!);
    const ModelStreamInfer = bare ? { ...method, responseSerialize: bareForm } : method;
    fake.#server.addService({ ModelStreamInfer, ServerReady } as never, {
      ModelStreamInfer: (stream: Answers) => {
        stream.on("error", () => {});
        stream.on("data", (request: inference.ModelInferRequest) => {
          fake.seen.push({ request, metadata: stream.metadata });
          answer(stream, request);
        });
      },
      ServerReady: (_call: unknown, reply: (error: null, answer: { ready: boolean }) => void) =>
        reply(null, { ready: false }),
    });
    fake.address = await new Promise<string>((resolve, reject) => {
      fake.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(`127.0.0.1:${port}`),
      );
    });
    return fake;
  }

  [Symbol.dispose](): void {
    this.#server.forceShutdown();
  }
}

/** A response with one output of texts. */
export function textAnswer(
  name: string,
  text: string,
  parameters: Record<string, inference.InferParameter.Init> = {},
): inference.ModelStreamInferResponse.Init {
  const outputs = [{ name, datatype: "BYTES", shape: [1], contents: { bytesContents: [Buffer.from(text)] } }];
  return { inferResponse: { modelName: "m", modelVersion: "1", outputs, parameters } };
}

export const FINAL = {
  inferResponse: { modelName: "m", parameters: { triton_final_response: { boolParam: true } } },
};
