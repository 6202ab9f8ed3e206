import { MessageChannel } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CapstanError,
  type Host,
  type InferRequest,
  type InferResponse,
  type Part,
  textOf,
  textTensor,
} from "../../src/contracts/index.ts";
import { serveGuest } from "../../src/host/isolation/guest.ts";
import { hostService, type IsolationHost } from "../../src/host/isolation/host-service.ts";
import { portLink } from "../../src/host/isolation/link.ts";
import { Peer } from "../../src/host/isolation/peer.ts";
import { type ResponseHead, responseOf } from "../../src/host/isolation/responses.ts";
import type { Described, Task } from "../../src/host/isolation/task.ts";
import { type Packed, packRequest, unpackResponse } from "../../src/host/isolation/tensors.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { spec } from "../support/isolation.ts";

const channels: MessageChannel[] = [];
let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(async () => {
  for (const { port1 } of channels.splice(0)) port1.close();
  await files[Symbol.asyncDispose]();
});

/** A server's side of a guest that runs in this thread. */
function guest(host: Partial<IsolationHost> = {}) {
  const channel = new MessageChannel();
  channels.push(channel);
  const ended = Promise.withResolvers<void>();
  serveGuest(portLink(channel.port2), ended.resolve);
  const refuse = () => {
    throw new CapstanError("UNSUPPORTED", "not here");
  };
  const given = { model: refuse, fetch: refuse, trust: async () => {}, ...host };
  const peer = new Peer(portLink(channel.port1), hostService(given), testCall().log);
  return { peer, ended: ended.promise };
}

const task = (more: Partial<Task>): Task => ({
  kind: "runtime",
  plugin: "module",
  model: spec(files.root),
  options: { module: "./m.ts" },
  ...more,
});

async function loaded(code: string, host: Partial<IsolationHost> = {}) {
  await files.write("m.ts", code);
  const served = guest(host);
  const described = await served.peer.ask<Described>("load", task({}), testCall());
  return { ...served, described };
}

const REQUEST: InferRequest = { parameters: {}, inputs: [textTensor("x", ["hi"])] };

async function infer(peer: Peer, request = REQUEST): Promise<InferResponse> {
  const packed = packRequest(request);
  return unpackResponse(await peer.ask<Packed<InferResponse>>("infer", packed, testCall(), [packed.buffer]));
}

/** An adapter whose embeddings are views, and which has an upstream. */
const ADAPTER = `
import { defineAdapter } from "capstan";
import { z } from "zod";
export default defineAdapter({
  name: "able",
  options: z.strictObject({}),
  async load() {
    return {
      async *streamTokens() {
        yield { type: "text", choice: 0, text: "a" };
        yield { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 1, outputTokens: 1 } };
      },
      predictText: async () => ({ choices: [], usage: { inputTokens: 1, outputTokens: 0 } }),
      embed: async (texts) => texts.map((_, n) => new Float32Array([9, n, n]).subarray(1)),
      tokenize: async (text) => [text.length],
      passthrough: async (route, body) => new Response(route === "none" ? null : route + JSON.stringify(body), {
        status: route === "none" ? 204 : 201,
        headers: { "x-a": "b" },
      }),
      async [Symbol.asyncDispose]() {},
    };
  },
});`;

describe("a guest", () => {
  it("tells what it loaded, answers, and ends when it is told to", async () => {
    const { peer, ended, described } = await loaded(`
      export const inputs = [{ name: "x", datatype: "BYTES", shape: [-1] }];
      export default ({ inputs: [x] }) => ({ outputs: [{ name: "y", data: x.data }], parameters: { n: 1 } })`);
    expect(described).toEqual({
      runtime: {
        platform: "module",
        inputs: [{ name: "x", datatype: "BYTES", shape: [-1] }],
        prepares: false,
        streams: false,
      },
    });
    const { outputs, parameters } = await infer(peer);
    expect(textOf(outputs[0]!.data as Uint8Array[])).toEqual(["hi"]);
    expect(parameters).toEqual({ n: 1 });
    await peer.ask("dispose", undefined, testCall());
    peer.note("exit", undefined);
    await ended;
  });

  it("streams", async () => {
    const { peer, described } = await loaded(`export default {
      predict() {},
      async *predictStream() { yield { outputs: [{ name: "y", data: [1] }] } },
    }`);
    expect(described.runtime?.streams).toBe(true);
    const packed = packRequest(REQUEST);
    const answers = await collect(peer.stream<Packed<InferResponse>>("inferStream", packed, testCall()));
    expect(answers.map((each) => unpackResponse(each).outputs[0]!.data)).toEqual([Float64Array.of(1)]);
  });

  it("says when it cannot answer for a while", async () => {
    const { peer } = await loaded(
      `let asked = 0; export default { ready: () => asked++ === 0, predict: () => ({ outputs: [] }) }`,
    );
    const noted = Promise.withResolvers<unknown>();
    peer.onNote = (name, value) => noted.resolve([name, value]);
    expect(await noted.promise).toEqual(["ready", false]);
  });

  it("has nothing to answer with before it has loaded", async () => {
    const { peer } = guest();
    await expect(infer(peer)).rejects.toMatchObject({ code: "NOT_READY" });
    await expect(peer.ask("tokenize", "a", testCall())).rejects.toMatchObject({ code: "NOT_READY" });
    await peer.ask("dispose", undefined, testCall());
  });

  it("refuses options and plugins with the words of the host", async () => {
    const { peer } = guest();
    const wrong = task({ plugin: "onnx", options: { intra_op_thread: 1 } });
    await expect(peer.ask("load", wrong, testCall())).rejects.toThrow(/parameters\.extra.*intra_op_thread/);
    await expect(peer.ask("load", task({ plugin: "onxx" }), testCall())).rejects.toThrow("onnx");
  });

  it("does all that a language model can do", async () => {
    await files.write("able.ts", ADAPTER);
    const { peer } = guest();
    const adapter = task({ kind: "adapter", plugin: "./able.ts", options: {} });
    expect(await peer.ask("load", adapter, testCall())).toEqual({
      abilities: ["predictText", "embed", "tokenize", "passthrough"],
    });
    const parts = await collect(peer.stream<Part>("streamTokens", { sampling: {} }, testCall()));
    expect(parts.map(({ type }) => type)).toEqual(["text", "finish"]);
    expect(await peer.ask("predictText", { sampling: {} }, testCall())).toMatchObject({ choices: [] });
    expect(await peer.ask("tokenize", "abc", testCall())).toEqual([3]);
    const [, second] = await peer.ask<Float32Array[]>("embed", ["a", "b"], testCall());
    expect(second).toEqual(Float32Array.of(1, 1));
    expect(second!.buffer.byteLength).toBe(8);
    const through = (route: string) =>
      responseOf(
        peer.stream<ResponseHead | Uint8Array>("passthrough", { route, body: { a: 1 } }, testCall()),
      );
    const response = await through("/v1/images");
    expect([response.status, response.headers.get("x-a"), await response.text()]).toEqual([
      201,
      "b",
      '/v1/images{"a":1}',
    ]);
    expect((await through("none")).status).toBe(204);
    await (await through("left")).body!.cancel();
    await expect.poll(() => peer.waiting).toBe(0);
  });
});

describe("a guest's host", () => {
  const CALLER = `
    let other, host;
    export default {
      async load(_model, _options, given) { host = given; other = host.model("other"); host.model("other") },
      async predict(request, call) {
        const [what] = new TextDecoder().decode(request.inputs[0].data[0]).split(" ");
        if (what === "chat") {
          const texts = [];
          for await (const part of other.chat({ prompt: "p", sampling: {} }, call)) texts.push(part.text);
          return { outputs: [{ name: "y", data: texts }] };
        }
        if (what === "embed") return { outputs: [{ name: "y", data: (await other.embed(["a"], call))[0] }] };
        if (what === "fetch") { await host.fetch("s3://a", "/tmp", call, { region: "eu" }); return { outputs: [] } }
        return other.infer(request, call);
      },
    };`;
  const ask = (peer: Peer, what: string) =>
    infer(peer, { parameters: {}, inputs: [textTensor("x", [what])] });

  it("reaches the models of the server, each connected once, and its resolvers", async () => {
    const asked: unknown[] = [];
    const model: Host["model"] = (name) => {
      asked.push(name);
      return {
        infer: async ({ inputs }) => ({ outputs: inputs }),
        async *chat({ prompt }) {
          yield { type: "text", choice: 0, text: `${prompt}!` };
        },
        embed: async () => [Float32Array.of(4)],
      };
    };
    const fetch: Host["fetch"] = async (uri, directory, _, options) =>
      void asked.push(uri, directory, options);
    const { peer } = await loaded(CALLER, { model, fetch });
    expect((await ask(peer, "chat")).outputs[0]!.data).toEqual([new Uint8Array(Buffer.from("p!"))]);
    expect((await ask(peer, "embed")).outputs[0]!.data).toEqual(Float32Array.of(4));
    expect(textOf((await ask(peer, "infer")).outputs[0]!.data as Uint8Array[])).toEqual(["infer"]);
    await ask(peer, "fetch");
    expect(asked).toEqual(["other", "s3://a", "/tmp", { region: "eu" }]);
  });

  it("refuses a cycle of models when the model loads", async () => {
    const model = () => {
      throw new CapstanError("LOAD_FAILED", "a cycle: m -> other -> m");
    };
    await expect(loaded(CALLER, { model })).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: "a cycle: m -> other -> m",
    });
  });

  it("does not run code that is not trusted", async () => {
    const trust = async () => {
      throw new CapstanError("LOAD_FAILED", "not trusted");
    };
    await expect(loaded("throw 1", { trust })).rejects.toThrow("not trusted");
  });

  it("loads runtimes and adapters for its plugin", async () => {
    const { peer } = await loaded(`
      let llm;
      export default {
        async load(model, _options, host, call) {
          llm = host.languageModel(await host.adapter("echo", model, {}, call));
          await using inner = await host.runtime("llm", model, { framework: "echo" }, call);
        },
        async predict(_, call) {
          const texts = [];
          for await (const part of llm.streamTokens({ prompt: "a b", sampling: {} }, call)) texts.push(part.text ?? "end");
          return { outputs: [{ name: "y", data: texts }] };
        },
      }`);
    expect(textOf((await infer(peer)).outputs[0]!.data as Uint8Array[])).toEqual([
      "Echo:",
      " a",
      " b",
      "end",
    ]);
  });
});
