import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type Call,
  defineAdapter,
  defineRuntime,
  type InferResponse,
  type Part,
  type Runtime,
  textTensor,
} from "../../src/contracts/index.ts";
import {
  adapterContract,
  type ContractCase,
  collect,
  runtimeContract,
  testHost,
} from "../../src/testing/index.ts";

const options = z.strictObject({});
const model = { name: "kit", version: "1", folder: "/nowhere" };
const request = { parameters: {}, inputs: [] };
const answer = { outputs: [textTensor("y", ["yes"])] };

async function failures(cases: readonly ContractCase[]): Promise<string[]> {
  const results = await Promise.allSettled(cases.map(({ run }) => run()));
  return cases.filter((_, i) => results[i]!.status === "rejected").map(({ name }) => name);
}

/** Answers twice, with a pause between that an abort ends. */
async function* twice({ signal }: Call): AsyncGenerator<InferResponse> {
  signal.throwIfAborted();
  yield answer;
  await sleep(5, undefined, { signal }).catch(() => signal.throwIfAborted());
  yield answer;
}

describe("runtime kit", () => {
  it("accepts a stream that stops, and finds one that does not", async () => {
    const streaming = (inferStream: NonNullable<Runtime["inferStream"]>) =>
      defineRuntime({
        name: "kit",
        options,
        load: async () => ({ inferStream, infer: async () => answer, async [Symbol.asyncDispose]() {} }),
      });
    const fixture = { model: () => model, request: () => request, streamRequest: () => request };
    const kit = async (inferStream: NonNullable<Runtime["inferStream"]>): Promise<string[]> =>
      (await failures(runtimeContract(streaming(inferStream), fixture))).filter((name) =>
        name.includes("stream"),
      );
    expect(await kit((_request, call) => twice(call))).toEqual([]);
    const deaf = async function* (): AsyncGenerator<InferResponse> {
      yield answer;
    };
    expect(await kit(deaf)).toEqual([
      "does not start a stream when aborted",
      "ends a stream with the reason when aborted within it",
    ]);
  });

  it("finds a runtime that ignores the signal, knows no options and works on when disposed", async () => {
    const careless = defineRuntime({
      name: "kit",
      options: z.looseObject({}),
      overridable: ["threads"],
      load: async () => ({ infer: async () => answer, async [Symbol.asyncDispose]() {} }),
    });
    const found = await failures(
      runtimeContract(careless, {
        model: () => model,
        request: () => request,
        badRequest: () => request,
        missing: () => model,
      }),
    );
    expect(found).toEqual([
      "refuses an unknown option by name",
      "has every overridable option in its schema",
      "does not load when aborted",
      "fails to load a missing artifact with LOAD_FAILED",
      "keeps concurrent calls apart",
      "answers a faulty request with INVALID_ARGUMENT, and goes on",
      "does not start when aborted",
      "rejects with the reason when aborted at work, and goes on",
      "refuses to work once disposed",
    ]);
  });
});

describe("adapter kit", () => {
  const usage = { inputTokens: 1, outputTokens: 2 };
  const finish: Part = { type: "finish", choice: 0, reason: "stop", usage };
  const words = ["one", "two"].map((text): Part => ({ type: "text", choice: 0, text }));

  const adapter = (parts: readonly Part[], predicted: string) =>
    defineAdapter({
      name: "kit",
      options,
      async load(_model, _options, _host, { signal }) {
        signal.throwIfAborted();
        return {
          async *streamTokens(_request, call) {
            for (const part of parts) {
              call.signal.throwIfAborted();
              yield part;
            }
          },
          async predictText() {
            return { choices: [{ text: predicted, toolCalls: [], reason: "stop" }], usage };
          },
          async embed(texts) {
            return texts.map((text) => Float32Array.of(text.length));
          },
          async [Symbol.asyncDispose]() {},
        };
      },
    });
  const fixture = { model: () => model, request: () => ({ prompt: "count", sampling: {} }) };

  it("accepts an adapter that does everything", async () => {
    const good = adapter([...words, finish], "onetwo");
    expect(await failures(adapterContract(good, fixture))).toEqual([]);
  });

  it("finds a missing finish, a part after it, and another text predicted", async () => {
    const streams = "streams text parts and one finish, which is last";
    const none = adapter(words, "onetwo");
    expect(await failures(adapterContract(none, fixture))).toContain(streams);
    const late = adapter([finish, ...words], "onetwo");
    expect(await failures(adapterContract(late, fixture))).toContain(streams);
    const other = adapter([...words, finish], "three");
    expect(await failures(adapterContract(other, fixture))).toEqual(["predicts what it streams"]);
  });
});

describe("test host", () => {
  it("says what a plugin asked for and was not given", async () => {
    const host = testHost({ fetch: async () => {} });
    await expect(host.fetch("s3://x/y", "/nowhere", {} as Call)).resolves.toBeUndefined();
    await expect(host.runtime("onnx", model, {}, {} as Call)).rejects.toThrow("testHost has no runtime");
    await expect(testHost().fetch("s3://x/y", "/nowhere", {} as Call)).rejects.toThrow(
      "testHost has no fetch",
    );
    expect(() => host.model("other")).toThrow("testHost has no model");
    expect(await collect((async function* () {})())).toEqual([]);
  });
});
