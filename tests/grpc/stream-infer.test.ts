import http2 from "node:http2";
import { describe, expect, test } from "vitest";
import { type Call, CapstanError, type InferResponse, textTensor } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { eventually } from "../support/eventually.ts";
import { codeName, ended, type FakeModel, fp32, IDENTITY, output, serveGrpc } from "../support/grpc.ts";

const METHOD = GRPCInferenceService.ModelStreamInfer;

const request = (
  modelName: string,
  id: string,
  parameters: inference.ModelInferRequest.Init["parameters"] = {},
) => ({
  modelName,
  id,
  parameters,
  inputs: [fp32([1])],
});

const streaming = (inferStream: NonNullable<FakeModel["inferStream"]>): FakeModel => ({
  ...IDENTITY,
  inferStream,
});

/** The words of a request's `n`, one response each. */
const counting = (n: number) =>
  streaming(async function* () {
    for (let index = 0; index < n; index += 1) yield { outputs: [textTensor("text_output", [`t${index}`])] };
  });

/** What a message says, in short. */
function short({ errorMessage, inferResponse }: inference.ModelStreamInferResponse) {
  const { id, outputs, parameters } = inferResponse!;
  const text = outputs[0]?.contents?.bytesContents[0];
  const final = parameters.triton_final_response?.boolParam;
  return [id, errorMessage || (text ? Buffer.from(text).toString() : outputs.length), final];
}

/** Lets one named request after the other go on. */
class Gates {
  readonly #gates = new Map<string, PromiseWithResolvers<void>>();

  #gate(id: string) {
    const gate = this.#gates.get(id) ?? Promise.withResolvers<void>();
    this.#gates.set(id, gate);
    return gate;
  }

  wait = (id: string) => this.#gate(id).promise;
  open = (id: string) => this.#gate(id).resolve();
}

describe("answers", () => {
  test("one for each request, each marked as its last, in the order of the requests", async () => {
    const gates = new Gates();
    const started: string[] = [];
    const model: FakeModel = {
      ...IDENTITY,
      async infer({ id, inputs }) {
        started.push(id!);
        if (started.length === 3) for (const each of ["c", "b", "a"]) gates.open(each);
        await gates.wait(id!);
        return { outputs: inputs };
      },
    };
    await using server = await serveGrpc({ model });
    const requests = ["a", "b", "c"].map((id) => request("model", id));
    const { code, messages } = await server.client.stream(METHOD, requests);
    expect(started).toEqual(["a", "b", "c"]);
    expect(messages.map(short)).toEqual([
      ["a", 1, true],
      ["b", 1, true],
      ["c", 1, true],
    ]);
    expect(codeName(code)).toBe("OK");
  });

  test("those of a streaming model come as they are made, and do not hold up others", async () => {
    const gates = new Gates();
    const slow = streaming(async function* () {
      yield { outputs: [textTensor("text_output", ["first"])] };
      await gates.wait("slow");
      yield { outputs: [textTensor("text_output", ["second"])] };
    });
    await using server = await serveGrpc({ slow, identity: IDENTITY });
    const call = server.client.open(METHOD);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => {
      messages.push(short(message));
      if (messages.length === 2) gates.open("slow");
    });
    call.write(METHOD.requestSerialize(request("slow", "s")));
    call.write(METHOD.requestSerialize(request("identity", "i")));
    call.end();
    expect(codeName((await ended(call)).code)).toBe("OK");
    expect(messages).toHaveLength(3);
    expect(messages.filter((message) => (message as unknown[])[0] === "s")).toEqual([
      ["s", "first", false],
      ["s", "second", true],
    ]);
    expect(messages).toContainEqual(["i", 1, true]);
  });

  test("the last is marked; an empty one follows where it was asked for", async () => {
    await using server = await serveGrpc({ two: counting(2), none: counting(0) });
    const plain = await server.client.stream(METHOD, [request("two", "1")]);
    expect(plain.messages.map(short)).toEqual([
      ["1", "t0", false],
      ["1", "t1", true],
    ]);
    const asked = { triton_enable_empty_final_response: { boolParam: true } };
    const marked = await server.client.stream(METHOD, [request("two", "2", asked)]);
    expect(marked.messages.map(short)).toEqual([
      ["2", "t0", false],
      ["2", "t1", false],
      ["2", 0, true],
    ]);
    const { messages } = await server.client.stream(METHOD, [request("none", "3")]);
    expect(messages.map(short)).toEqual([["3", 0, true]]);
  });

  test("an end that shows late becomes an empty last answer", async () => {
    const late = streaming(async function* () {
      yield { outputs: [textTensor("text_output", ["only"])] };
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
    await using server = await serveGrpc({ late });
    const { messages } = await server.client.stream(METHOD, [request("late", "1")]);
    expect(messages.map(short)).toEqual([
      ["1", "only", false],
      ["1", 0, true],
    ]);
  });

  test("a model that marks its last answer itself is believed, and nothing follows", async () => {
    const marks = streaming(async function* () {
      yield { outputs: [], parameters: { triton_final_response: true, output_tokens: 3 } };
      await new Promise((resolve) => setTimeout(resolve, 20));
    });
    await using server = await serveGrpc({ marks });
    const { messages } = await server.client.stream(METHOD, [request("marks", "1")]);
    expect(messages.map(short)).toEqual([["1", 0, true]]);
    expect(messages[0]?.inferResponse?.parameters.output_tokens).toMatchObject({ int64Param: 3n });
  });
});

describe("errors answer their request alone", () => {
  test("with code, message and id; the stream goes on", async () => {
    const bad: FakeModel = { ...IDENTITY, infer: () => Promise.reject(new Error("inner detail")) };
    const breaks = streaming(async function* () {
      yield { outputs: [textTensor("text_output", ["start"])] };
      throw new CapstanError("UPSTREAM", "the backend went away");
    });
    await using server = await serveGrpc({ bad, breaks, identity: IDENTITY });
    const { code, messages } = await server.client.stream(METHOD, [
      request("nobody", "1"),
      { ...request("identity", "2"), rawInputContents: [Buffer.alloc(4)] },
      request("bad", "3"),
      request("identity", "4"),
    ]);
    expect(messages.map(short)).toEqual([
      ["1", "NOT_FOUND: There is no model 'nobody'", true],
      ["2", expect.stringMatching(/^INVALID_ARGUMENT: Input 'x' has both/), true],
      [
        "3",
        expect.stringMatching(/^INTERNAL: Internal error; the server's log has it under request id .*\/3$/),
        true,
      ],
      ["4", 1, true],
    ]);
    expect(codeName(code)).toBe("OK");
    const broken = await server.client.stream(METHOD, [request("breaks", "5"), request("identity", "6")]);
    expect(broken.messages.map(short)).toContainEqual(["5", "UPSTREAM: the backend went away", true]);
    expect(broken.messages.map(short)).toContainEqual(["6", 1, true]);
  });

  test("bytes that are no message", async () => {
    await using server = await serveGrpc();
    const call = server.client.open(METHOD);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => messages.push(short(message)));
    call.write(Buffer.from([0x0a, 0xff]));
    call.write(METHOD.requestSerialize(request("identity", "good")));
    call.end();
    expect(codeName((await ended(call)).code)).toBe("OK");
    expect(messages).toEqual([
      [
        "",
        expect.stringMatching(/^INVALID_ARGUMENT: The request of ModelStreamInfer is not valid protobuf/),
        true,
      ],
      ["good", 1, true],
    ]);
  });

  test("an answer larger than a message may be", async () => {
    const big: FakeModel = {
      ...IDENTITY,
      infer: async () => ({ outputs: [output("y", new Float32Array(1000))] }),
    };
    await using server = await serveGrpc({ big, identity: IDENTITY }, { grpc_max_message_length: 2000 });
    const { messages } = await server.client.stream(METHOD, [request("big", "1"), request("identity", "2")]);
    expect(messages.map(short)).toEqual([
      ["1", expect.stringMatching(/^TOO_LARGE: .* bytes, more than the 2000/), true],
      ["2", 1, true],
    ]);
  });

  test("a request's own deadline", async () => {
    const slow: FakeModel = { ...IDENTITY, infer: (_, { signal }) => aborted(signal) };
    await using server = await serveGrpc({ slow, identity: IDENTITY });
    const timeout = { timeout: { int64Param: 20_000 } };
    const { messages } = await server.client.stream(METHOD, [
      request("slow", "1", timeout),
      request("identity", "2"),
    ]);
    expect(messages.map(short)).toEqual([
      ["1", expect.stringMatching(/^DEADLINE_EXCEEDED/), true],
      ["2", 1, true],
    ]);
  });
});

/** Rejects with the signal's reason when it aborts. */
function aborted(signal: AbortSignal): Promise<InferResponse> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
}

describe("limits", () => {
  test("a client that does not read stops the model", async () => {
    let made = 0;
    let over = false;
    const endless = streaming(async function* (_, { signal }) {
      try {
        while (!signal.aborted) {
          made += 1;
          yield { outputs: [output("y", new Float32Array(16_384))] };
        }
      } finally {
        over = true;
      }
    });
    await using server = await serveGrpc({ endless });
    const session = http2.connect(`http://127.0.0.1:${server.listening.port}`);
    const stream = session.request({
      ":method": "POST",
      ":path": METHOD.path,
      "content-type": "application/grpc",
    });
    stream.on("error", () => undefined);
    stream.write(framed(METHOD.requestSerialize(request("endless", "1"))));
    await settled(() => made);
    // 64 KiB each: HTTP/2 takes one window, the outlet holds four, one waits, one more was asked for.
    expect(made).toBeGreaterThan(1);
    expect(made).toBeLessThan(10);
    const before = made;
    stream.resume();
    await eventually(() => made > before + 10);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await eventually(() => over);
    session.close();
  });

  test("no more requests are read than can be in hand", async () => {
    const gates = new Gates();
    let running = 0;
    const held: FakeModel = {
      ...IDENTITY,
      async infer({ inputs }) {
        running += 1;
        await gates.wait("all");
        return { outputs: inputs };
      },
    };
    await using server = await serveGrpc({ held });
    const call = server.client.open(METHOD);
    let answers = 0;
    call.on("data", () => (answers += 1));
    for (let index = 0; index < 300; index += 1)
      call.write(METHOD.requestSerialize(request("held", `${index}`)));
    call.end();
    await settled(() => running);
    expect(running).toBe(64);
    gates.open("all");
    expect(codeName((await ended(call)).code)).toBe("OK");
    expect(answers).toBe(300);
  });

  test("requests in hand are bounded in bytes, too", async () => {
    const gates = new Gates();
    let running = 0;
    const held: FakeModel = {
      ...IDENTITY,
      async infer({ inputs }) {
        running += 1;
        await gates.wait("all");
        return { outputs: inputs };
      },
    };
    await using server = await serveGrpc({ held }, { grpc_max_message_length: 10_000 });
    const message = { modelName: "held", inputs: [fp32(Array(1000).fill(1))] };
    const done = server.client.stream(METHOD, Array(20).fill(message));
    await settled(() => running);
    expect(running).toBe(3);
    gates.open("all");
    expect((await done).messages).toHaveLength(20);
  });
});

/** A gRPC message as it goes over HTTP/2. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Waits until a number has not changed for a while. */
async function settled(value: () => number): Promise<void> {
  let before = -1;
  let same = 0;
  while (same < 10) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    same = value() === before && before > 0 ? same + 1 : 0;
    before = value();
  }
}

describe("the ends of a stream", () => {
  test("cancelling aborts everything under way", async () => {
    const calls: Call[] = [];
    const hanging: FakeModel = {
      ...IDENTITY,
      infer(_, call) {
        calls.push(call);
        return aborted(call.signal);
      },
    };
    const streams = streaming(async function* (_, call) {
      calls.push(call);
      yield { outputs: [] };
      await aborted(call.signal);
    });
    await using server = await serveGrpc({ hanging, streams });
    const call = server.client.open(METHOD, { headers: { "x-request-id": "whole" } });
    const end = ended(call);
    call.on("data", () => undefined);
    for (const model of ["hanging", "streams", "hanging"])
      call.write(METHOD.requestSerialize(request(model, "")));
    await eventually(() => calls.length === 3);
    call.cancel();
    expect(codeName((await end).code)).toBe("CANCELLED");
    await eventually(() => calls.every(({ signal }) => signal.aborted));
    expect(calls.map(({ signal }) => (signal.reason as CapstanError).code)).toEqual(
      Array(3).fill("CANCELLED"),
    );
    expect(calls.map(({ requestId }) => requestId).toSorted()).toEqual(["whole/1", "whole/2", "whole/3"]);
  });

  test("the deadline of the stream reaches the models", async () => {
    const calls: Call[] = [];
    const hanging: FakeModel = {
      ...IDENTITY,
      infer(_, call) {
        calls.push(call);
        return aborted(call.signal);
      },
    };
    await using server = await serveGrpc({ hanging });
    const { code } = await server.client.stream(METHOD, [request("hanging", "1")], { deadlineMs: 150 });
    expect(codeName(code)).toBe("DEADLINE_EXCEEDED");
    await eventually(() => calls[0]?.signal.aborted);
    expect(calls[0]?.deadline).toBeGreaterThan(0);
    expect(["DEADLINE_EXCEEDED", "CANCELLED"]).toContain((calls[0]!.signal.reason as CapstanError).code);
  });

  test("a client that sends nothing and ends gets OK; one that stays open is ended when the server stops", async () => {
    await using server = await serveGrpc();
    expect(codeName((await server.client.stream(METHOD, [])).code)).toBe("OK");
    const call = server.client.open(METHOD);
    const end = ended(call);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => messages.push(short(message)));
    call.write(METHOD.requestSerialize(request("identity", "1")));
    await eventually(() => messages.length === 1);
    await server.listening.close();
    const { code, details } = await end;
    expect([codeName(code), details]).toEqual(["UNAVAILABLE", expect.stringContaining("stopping")]);
  });
});
