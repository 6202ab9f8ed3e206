import { Agent, request } from "node:http";
import { credentials, Client as GrpcClient } from "@grpc/grpc-js";
import { LLMService } from "../../src/grpc/generated/services.ts";
import { chatBody, type Script } from "./script.ts";
import { MODEL } from "./servers.ts";

/** A stream under way. */
export interface OpenStream {
  /** Milliseconds from the request to the first event. */
  readonly first: Promise<number>;
  /** The events of text; @throws Error when the stream failed, or ended before its last one. */
  readonly done: Promise<number>;
  /** The client goes away. */
  leave(): void;
}

/** A client of chat completions at `host:port`. */
export interface ChatClient {
  stream(script: Script): OpenStream;
  close(): void;
}

export interface HttpChatClient extends ChatClient {
  /** A whole answer. */
  whole(script: Script): { readonly done: Promise<void>; leave(): void };
}

const PATH = "/v1/chat/completions";
const EVENT = '"content":" word"';
const END = "data: [DONE]";

/** Each request under way has a keep-alive connection of its own. */
export function httpClient(address: string): HttpChatClient {
  const agent = new Agent({ keepAlive: true });
  const [host, port] = address.split(":");
  const post = (script: Script, stream: boolean) => {
    const body = JSON.stringify({ ...chatBody(script, stream), model: MODEL });
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request({ agent, host, port, path: PATH, method: "POST", headers });
    sent.end(body);
    return sent;
  };
  return {
    stream: (script) => readEvents(post(script, true)),
    whole(script) {
      const sent = post(script, false);
      return { done: readWhole(sent), leave: () => void sent.destroy() };
    },
    close: () => agent.destroy(),
  };
}

type Sent = ReturnType<typeof request>;

function readWhole(sent: Sent): Promise<void> {
  return new Promise((resolve, reject) => {
    sent.on("error", reject).on("response", (answer) => {
      answer.on("error", reject).resume();
      answer.on("end", () =>
        answer.statusCode === 200 ? resolve() : reject(new Error(`${answer.statusCode}`)),
      );
    });
  });
}

function readEvents(sent: Sent): OpenStream {
  const started = performance.now();
  const first = Promise.withResolvers<number>();
  const done = Promise.withResolvers<number>();
  let events = 0;
  let ended = false;
  const fail = (error: Error) => {
    first.reject(error);
    done.reject(error);
  };
  sent.on("error", fail).on("response", (answer) => {
    answer.setEncoding("latin1").on("error", fail);
    answer.on("data", (text: string) => {
      if (events === 0) first.resolve(performance.now() - started);
      events += text.split(EVENT).length - 1;
      ended ||= text.includes(END);
    });
    answer.on("end", () => (ended ? done.resolve(events) : fail(new Error(`cut off: ${answer.statusCode}`))));
  });
  return quiet({ first: first.promise, done: done.promise, leave: () => void sent.destroy() });
}

/** Streams over a few connections, as many as HTTP/2 lets stand beside each other comfortably. */
const STREAMS_PER_CHANNEL = 100;

export function grpcClient(address: string, streams: number): ChatClient {
  const options = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_channelz": 0 };
  const clients = Array.from(
    { length: Math.ceil(streams / STREAMS_PER_CHANNEL) },
    () => new GrpcClient(address, credentials.createInsecure(), options),
  );
  let turn = 0;
  return {
    stream: (script) => openGrpc(clients[turn++ % clients.length]!, script),
    close: () => clients.forEach((client) => void client.close()),
  };
}

function openGrpc(client: GrpcClient, script: Script): OpenStream {
  const { path, requestSerialize, responseDeserialize } = LLMService.ChatCompletionStream;
  const { messages } = chatBody(script, true);
  const message = { model: MODEL, messages };
  const started = performance.now();
  const first = Promise.withResolvers<number>();
  const done = Promise.withResolvers<number>();
  let events = 0;
  let ended = false;
  const fail = (error: Error) => {
    first.reject(error);
    done.reject(error);
  };
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, message);
  call.on("error", fail);
  call.on("data", ({ delta, finishReason }: { delta: string; finishReason: string }) => {
    if (events === 0) first.resolve(performance.now() - started);
    if (delta !== "") events += 1;
    ended ||= finishReason !== "";
  });
  call.on("end", () => (ended ? done.resolve(events) : fail(new Error("cut off"))));
  return quiet({ first: first.promise, done: done.promise, leave: () => call.cancel() });
}

/** Whoever leaves a stream does not wait for its end. */
function quiet(stream: OpenStream): OpenStream {
  stream.first.catch(() => {});
  stream.done.catch(() => {});
  return stream;
}
