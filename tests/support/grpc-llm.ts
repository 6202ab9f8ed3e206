import { type ClientReadableStream, Metadata } from "@grpc/grpc-js";
import type { CapLLM, ChatRequest, Part } from "../../src/contracts/index.ts";
import type { capstan } from "../../src/grpc/generated/llm.js";
import { LLMService } from "../../src/grpc/generated/services.ts";
import { codeName, ended, type FakeModel, IDENTITY, type TestClient } from "./grpc.ts";

export type Chunk = capstan.llm.v1.ChatChunk;
type Request = capstan.llm.v1.ChatRequest.Init;
type StreamName = "ChatCompletionStream" | "StreamGenerate";

/** A language model that is a function. */
export const speaking = (streamTokens: CapLLM["streamTokens"]): FakeModel => ({
  ...IDENTITY,
  llm: { streamTokens, async [Symbol.asyncDispose]() {} },
});

export const text = (piece: string): Part => ({ type: "text", choice: 0, text: piece });

export const FINISH: Part = {
  type: "finish",
  choice: 0,
  reason: "stop",
  usage: { inputTokens: 3, outputTokens: 2 },
};

/** Says "Hello world", and keeps what it was asked. */
export function listening(): { readonly model: FakeModel; readonly asked: ChatRequest[] } {
  const asked: ChatRequest[] = [];
  const model = speaking(async function* (request) {
    asked.push(request);
    yield text("Hello");
    yield text(" world");
    yield FINISH;
  });
  return { model, asked };
}

/** Rejects with the signal's reason when it aborts. */
export function untilAborted({ signal }: { readonly signal: AbortSignal }): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
}

export const user = (content: string) => [{ role: "user", content }];

export interface Streaming {
  readonly call: ClientReadableStream<Chunk>;
  readonly chunks: Chunk[];
  readonly headers: Promise<Readonly<Record<string, unknown>>>;
  readonly end: Promise<{ readonly code: string; readonly details: string }>;
}

/** Opens a stream and collects its chunks. */
export function openStream(
  client: TestClient,
  name: StreamName,
  request: Request,
  settings: {
    readonly requestId?: string;
    readonly deadlineMs?: number;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Streaming {
  const { path, requestSerialize, responseDeserialize } = LLMService[name];
  const metadata = new Metadata();
  for (const [header, value] of Object.entries(settings.headers ?? {})) metadata.set(header, value);
  if (settings.requestId) metadata.set("x-request-id", settings.requestId);
  const deadline = Date.now() + (settings.deadlineMs ?? 15_000);
  const call = client.raw.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    metadata,
    { deadline },
  );
  const chunks: Chunk[] = [];
  call.on("data", (chunk: Chunk) => chunks.push(chunk));
  const headers = new Promise<Record<string, unknown>>((resolve) =>
    call.on("metadata", (given: Metadata) => resolve(given.getMap())),
  );
  const end = ended(call).then(({ code, details }) => ({ code: codeName(code), details }));
  return { call, chunks, headers, end };
}
