import { describe, expect, test } from "vitest";
import { CapstanError, textTensor } from "../../src/contracts/index.ts";
import type { inference } from "../../src/grpc/generated/inference.js";
import { codeName, ended, type FakeModel, IDENTITY, output, serveGrpc } from "../support/grpc.ts";
import { aborted, counting, Gates, heldBy, METHOD, request, short, streaming } from "../support/streams.ts";

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

  test("that of a streaming model does not wait for answers before it", async () => {
    const gates = new Gates();
    const breaks = streaming(() => {
      throw new CapstanError("UPSTREAM", "gone");
    });
    await using server = await serveGrpc({ held: heldBy(gates), breaks });
    const call = server.client.open(METHOD);
    const messages: unknown[] = [];
    call.on("data", (message: inference.ModelStreamInferResponse) => {
      messages.push(short(message));
      gates.open("1");
    });
    call.write(METHOD.requestSerialize(request("held", "1")));
    call.write(METHOD.requestSerialize(request("breaks", "2")));
    call.end();
    expect(codeName((await ended(call)).code)).toBe("OK");
    expect(messages).toEqual([
      ["2", "UPSTREAM: gone", true],
      ["1", 1, true],
    ]);
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
