import type { Server } from "@grpc/grpc-js";
import { CapstanError, foldParts, type Part } from "../contracts/index.ts";
import type { CallScope } from "../host/call.ts";
import { chooseName, type Target, targetOf } from "../host/language-model.ts";
import { checkModelName } from "../v2/names.ts";
import { Exchange, type OutgoingStream } from "./exchange.ts";
import type { capstan } from "./generated/llm.js";
import { LLMService } from "./generated/services.ts";
import { Chunks, writeCompletion } from "./llm-answer.ts";
import { type PromptUse, readChatRequest, timeLimitOf } from "./llm-request.ts";
import { Outlet } from "./outlet.ts";
import type { GrpcParts } from "./parts.ts";
import { addServerStream, addUnary, checkReplySize, decodeRequest } from "./rpc.ts";
import { answerMetadata, statusOf } from "./status.ts";

type StreamMethod = typeof LLMService.ChatCompletionStream | typeof LLMService.StreamGenerate;

/** capstan.llm.v1.LLMService: language models without tensors. */
export function addLanguageModelMethods(server: Server, parts: GrpcParts): void {
  const { ChatCompletion, ChatCompletionStream, StreamGenerate } = LLMService;
  addUnary(server, parts, ChatCompletion, complete);
  addStream(server, parts, ChatCompletionStream, "message");
  addStream(server, parts, StreamGenerate, "text");
}

/** What a method makes of a request. */
interface Use {
  readonly prompt: PromptUse;
  /** The answer goes out when it is complete. */
  readonly whole?: boolean;
}

/** A question on its way to a model. */
interface Asked {
  readonly target: Target;
  readonly scope: CallScope;
  readonly answer: AsyncIterable<Part>;
}

function ask(message: capstan.llm.v1.ChatRequest, x: Exchange, { prompt, whole }: Use): Asked {
  const { plane, settings } = x.parts;
  const named = message.model === "" ? undefined : checkModelName(message.model);
  const target = targetOf(plane, chooseName(plane, named, settings.default_model), undefined);
  const request = readChatRequest(message, prompt, x.header("x-session-id"));
  const scope = x.open(timeLimitOf(message));
  const call = whole ? { ...scope, whole } : scope;
  return { target, scope, answer: plane.chat(target.name, undefined, request, call) };
}

function stopwatch(): () => number {
  const started = performance.now();
  return () => performance.now() - started;
}

async function complete(message: capstan.llm.v1.ChatRequest, x: Exchange) {
  const elapsedMs = stopwatch();
  const { target, scope, answer } = ask(message, x, { prompt: "message", whole: true });
  const completion = await foldParts(answer);
  return {
    id: x.requestId,
    model: target.name,
    modelVersion: scope.record.version ?? target.answering,
    ...writeCompletion(completion),
    latencyMs: elapsedMs(),
  };
}

function addStream(server: Server, parts: GrpcParts, method: StreamMethod, prompt: PromptUse): void {
  addServerStream(server, method, async (stream) => {
    const exchange = new Exchange(stream, method.path, parts);
    try {
      await exchange.admit();
      await sendChunks(stream, exchange, method, prompt);
      stream.end();
    } catch (error) {
      const status = statusOf(exchange, error);
      if (!stream.cancelled) stream.emit("error", status);
    } finally {
      exchange.close();
    }
  });
}

/** Resolves when the last chunk is on its way. Leaving the loop ends the model's work. */
async function sendChunks(stream: OutgoingStream, x: Exchange, method: StreamMethod, prompt: PromptUse) {
  const elapsedMs = stopwatch();
  const message = decodeRequest(method, stream.request);
  const chunks = new Chunks(x.requestId, elapsedMs, message.includeSteps);
  const { target, scope, answer } = ask(message, x, { prompt });
  const outlet = new Outlet(stream, scope.signal);
  let begun = false;
  for await (const part of answer) {
    if (!begun) stream.sendMetadata(chunkMetadata(x, scope.record.version ?? target.answering));
    begun = true;
    const chunk = chunks.of(part);
    if (chunk === undefined) continue;
    const reply = checkReplySize(method.responseSerialize(chunk), x.parts.settings);
    if (!(await outlet.write(reply))) return scope.signal.throwIfAborted();
  }
  if (!chunks.finished) throw new CapstanError("INTERNAL", "The model's answer ended without a finish");
}

/** Goes out with the first chunk: the version that answers is known then. */
function chunkMetadata(x: Exchange, version: string) {
  const metadata = answerMetadata(x);
  metadata.set("x-capstan-model-version", version);
  return metadata;
}
