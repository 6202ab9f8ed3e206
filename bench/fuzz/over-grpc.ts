import { credentials, Client as GrpcClient, status } from "@grpc/grpc-js";
import { GRPCInferenceService, LLMService } from "../../src/grpc/generated/services.ts";
import { generator, mutated } from "./mutations.ts";

const raw = new Uint8Array(new Float32Array([5.1, 3.5, 1.4, 0.2]).buffer);
const input = { name: "X", datatype: "FP32", shape: [1, 4] };
const { ModelInfer, ModelMetadata, ModelStatistics, RepositoryIndex } = GRPCInferenceService;
const chat = { model: "echo", messages: [{ role: "user", content: "hello there" }], maxTokens: 8 };

/** Messages that are answered well. */
const SEEDS: readonly { readonly path: string; readonly bytes: Buffer }[] = [
  seed(ModelInfer, { modelName: "iris", inputs: [input], rawInputContents: [raw] }),
  seed(ModelInfer, {
    modelName: "iris",
    inputs: [{ ...input, contents: { fp32Contents: new Float32Array(raw.buffer) } }],
  }),
  seed(ModelMetadata, { name: "iris" }),
  seed(ModelStatistics, { name: "iris", version: "1" }),
  seed(RepositoryIndex, { ready: true }),
  seed(LLMService.ChatCompletion, chat),
];

function seed<Message>(
  { path, requestSerialize }: { path: string; requestSerialize(message: Message): Buffer },
  message: Message,
) {
  return { path, bytes: requestSerialize(message) };
}

const asIs = (bytes: Buffer): Buffer => bytes;

/** Sends `count` faulty messages and gives how often each status came, by its name. */
export async function fuzzGrpc(address: string, count: number, concurrent: number, seed: number) {
  const client = new GrpcClient(address, credentials.createInsecure(), { "grpc.enable_channelz": 0 });
  const statuses = new Map<string, number>();
  const random = generator(seed);
  let left = count;
  const caller = async () => {
    while (left-- > 0) {
      const { path, bytes } = SEEDS[Math.floor(random() * SEEDS.length)]!;
      const name = status[await send(client, path, mutated(bytes, random))]!;
      statuses.set(name, (statuses.get(name) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: concurrent }, caller));
  client.close();
  return statuses;
}

function send(client: GrpcClient, path: string, message: Buffer): Promise<number> {
  const deadline = Date.now() + 20_000;
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, asIs, asIs, message, { deadline }, (error) => {
      resolve(error?.code ?? status.OK);
    });
  });
}
