import http2 from "node:http2";
import protobuf from "protobufjs";
import descriptor from "protobufjs/ext/descriptor.js";
import { describe, expect, test } from "vitest";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { LLMService, ServerReflection } from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { framed, serveGrpc } from "../support/grpc.ts";
import { FINISH, listening, openStream, speaking, text, untilAborted, user } from "../support/grpc-llm.ts";

const NAMES = ["ChatCompletionStream", "StreamGenerate"] as const;

describe.each(NAMES)("%s", (name) => {
  test("sends each piece as it comes, and last how it ended", async () => {
    await using server = await serveGrpc({ hello: listening().model });
    const stream = openStream(server.client, name, { prompt: "Hi" }, { requestId: "r-1" });
    expect(await stream.end).toMatchObject({ code: "OK" });
    expect(await stream.headers).toMatchObject({ "x-request-id": "r-1", "x-capstan-model-version": "1" });
    expect(stream.chunks).toMatchObject([
      { id: "r-1", index: 0, delta: "Hello", finishReason: "", usage: null },
      { id: "r-1", index: 1, delta: " world", finishReason: "", usage: null },
      {
        id: "r-1",
        index: 2,
        delta: "",
        finishReason: "stop",
        usage: { promptTokens: 3, completionTokens: 2, totalTokens: 5 },
      },
    ]);
  });

  test("times the chunks from the request's arrival, and the first text", async () => {
    await using server = await serveGrpc({ hello: listening().model });
    const { chunks, end } = openStream(server.client, name, { prompt: "Hi" });
    await end;
    const latencies = chunks.map(({ latencyMs }) => latencyMs);
    expect(latencies).toEqual(latencies.toSorted((a, b) => a - b));
    const [first, ...others] = chunks.map(({ timeToFirstTokenMs }) => timeToFirstTokenMs);
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(latencies[0]!);
    expect(others).toEqual([first, first]);
  });

  test("an empty answer has one chunk, and no first token", async () => {
    const silent = speaking(async function* () {
      yield text("");
      yield { type: "reasoning", choice: 0, text: "hm" };
      yield { type: "step", choice: 0, name: "search" };
      yield { type: "tool-call", choice: 0, call: { id: "1", name: "f", arguments: "{}" } };
      yield { ...FINISH, reason: "tool_calls" };
    });
    await using server = await serveGrpc({ silent });
    const { chunks, end } = openStream(server.client, name, { messages: user("Hi") });
    expect(await end).toMatchObject({ code: "OK" });
    expect(chunks).toMatchObject([{ index: 0, finishReason: "tool_calls", timeToFirstTokenMs: null }]);
  });

  test("a fault before the first token is the call's status alone", async () => {
    await using server = await serveGrpc({ hello: listening().model });
    const unknown = openStream(server.client, name, { model: "nobody", prompt: "Hi" });
    expect(await unknown.end).toMatchObject({ code: "NOT_FOUND" });
    const empty = openStream(server.client, name, {});
    expect(await empty.end).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect([...unknown.chunks, ...empty.chunks]).toEqual([]);
  });

  test("a fault after the first token comes after it", async () => {
    const failing = speaking(async function* () {
      yield text("half");
      throw new CapstanError("UPSTREAM", "The upstream went away");
    });
    await using server = await serveGrpc({ failing });
    const { chunks, end } = openStream(server.client, name, { prompt: "Hi" });
    expect(await end).toEqual({ code: "UNAVAILABLE", details: "The upstream went away" });
    expect(chunks.map(({ delta }) => delta)).toEqual(["half"]);
  });

  test("an answer that just stops, or has too large a piece, does not end well", async () => {
    const stopping = speaking(async function* () {
      yield text("half");
    });
    const long = speaking(async function* () {
      yield text("x".repeat(5000));
    });
    await using server = await serveGrpc({ stopping, long }, { grpc_max_message_length: 4000 });
    const ends = ["stopping", "long"].map((model) =>
      openStream(server.client, name, { model, prompt: "Hi" }),
    );
    const codes = await Promise.all(ends.map(async ({ end }) => (await end).code));
    expect(codes).toEqual(["INTERNAL", "RESOURCE_EXHAUSTED"]);
  });
});

test("a prompt is the user's message to one method, and text to be continued to the other", async () => {
  const { model, asked } = listening();
  await using server = await serveGrpc({ hello: model });
  for (const name of NAMES) await openStream(server.client, name, { prompt: "Once" }).end;
  await openStream(server.client, "StreamGenerate", { messages: user("Hi") }).end;
  const questions = asked.map(({ messages, prompt }) => ({ messages, prompt }));
  expect(questions).toEqual([{ messages: user("Once") }, { prompt: "Once" }, { messages: user("Hi") }]);
});

/** Speaks for ever, and keeps the call and whether it was left. */
function endless(piece: string) {
  const seen = { made: 0, over: false, calls: [] as Call[] };
  const model = speaking(async function* (_, call) {
    seen.calls.push(call);
    try {
      for (; ; seen.made += 1) {
        call.signal.throwIfAborted();
        yield text(piece);
      }
    } finally {
      seen.over = true;
    }
  });
  return { model, seen };
}

describe("a stream that is not wanted any more", () => {
  test("is aborted when the client cancels", async () => {
    const reasons: unknown[] = [];
    const hanging = speaking(async function* (_, call) {
      yield text("on");
      await untilAborted(call).catch((reason) => {
        reasons.push(reason);
        throw reason;
      });
    });
    await using server = await serveGrpc({ hanging });
    const stream = openStream(server.client, "ChatCompletionStream", { prompt: "Hi" });
    await eventually(() => stream.chunks.length === 1);
    stream.call.cancel();
    expect(await stream.end).toMatchObject({ code: "CANCELLED" });
    await eventually(() => reasons.length === 1);
    expect(reasons).toMatchObject([{ code: "CANCELLED" }]);
    expect(server.logged.filter(({ level }) => level === "error")).toEqual([]);
  });

  test.each([
    ["its own time limit", { timeoutMs: 100 }, {}],
    ["the call's deadline", {}, { deadlineMs: 150 }],
  ])("ends with %s, after what was said", async (_what, limit, settings) => {
    const hanging = speaking(async function* (_, call) {
      yield text("on");
      await untilAborted(call);
    });
    await using server = await serveGrpc({ hanging });
    const { chunks, end } = openStream(server.client, "StreamGenerate", { prompt: "Hi", ...limit }, settings);
    expect(await end).toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(chunks.map(({ delta }) => delta)).toEqual(["on"]);
  });
});

describe("a client that does not read", () => {
  function unread(port: number, request: object) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const { path, requestSerialize } = LLMService.StreamGenerate;
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.end(framed(requestSerialize({ prompt: "Hi", ...request })));
    return { stream, [Symbol.dispose]: () => session.destroy() };
  }

  test("stops the model until it reads", async () => {
    const { model, seen } = endless("x".repeat(65_536));
    await using server = await serveGrpc({ endless: model });
    using client = unread(server.listening.port, {});
    await stands(() => seen.made);
    const before = seen.made;
    expect(before).toBeLessThan(10);
    client.stream.resume();
    await eventually(() => seen.made > before + 10);
    client.stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually(() => seen.over);
    expect(seen.calls[0]?.signal.aborted).toBe(true);
  });

  test("does not keep the model beyond the time limit", async () => {
    const { model, seen } = endless("x".repeat(65_536));
    await using server = await serveGrpc({ endless: model });
    using _client = unread(server.listening.port, { timeoutMs: 300 });
    await eventually(() => seen.over);
    expect(seen.made).toBeLessThan(10);
    expect(seen.calls[0]?.signal.reason).toMatchObject({ code: "DEADLINE_EXCEEDED" });
  });
});

/** Waits until a number stands still. */
async function stands(value: () => number): Promise<void> {
  let before = -1;
  let same = 0;
  while (same < 10) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = value() === before && before > 0 ? same + 1 : 0;
    before = value();
  }
}

describe("reflection", () => {
  test("describes the service, and which fields of a request may be absent", async () => {
    await using server = await serveGrpc();
    const { messages } = await server.client.stream(ServerReflection.ServerReflectionInfo, [
      { fileContainingSymbol: "capstan.llm.v1.LLMService.StreamGenerate" },
      { fileByFilename: "capstan/llm/v1/llm.proto" },
    ]);
    const [file, byName] = messages.map(
      ({ fileDescriptorResponse }) => fileDescriptorResponse!.fileDescriptorProto[0]!,
    );
    expect(byName).toEqual(file);
    const root = describedBy(file!);
    expect(root.lookupService("capstan.llm.v1.LLMService").methodsArray.map(shapeOf)).toEqual([
      ["ChatCompletion", "ChatRequest", "ChatResponse", false],
      ["ChatCompletionStream", "ChatRequest", "ChatChunk", true],
      ["StreamGenerate", "ChatRequest", "ChatChunk", true],
    ]);
    const { fieldsArray } = root.lookupType("capstan.llm.v1.ChatRequest");
    const optional = fieldsArray.filter(({ options }) => options?.proto3_optional === true);
    expect(optional.map(({ name }) => name)).toEqual(["maxTokens", "temperature", "topP", "topK", "seed"]);
  });

  const shapeOf = ({ name, requestType, responseType, responseStream }: protobuf.Method) => {
    const last = (type: string) => type.split(".").at(-1);
    return [name, last(requestType), last(responseType), responseStream ?? false];
  };

  function describedBy(bytes: Uint8Array): protobuf.Root {
    const { fromDescriptor } = protobuf.Root as unknown as { fromDescriptor(set: object): protobuf.Root };
    return fromDescriptor({ file: [descriptor.FileDescriptorProto.decode(bytes)] });
  }
});
