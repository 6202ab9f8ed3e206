import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  type CapLLM,
  CapstanError,
  foldParts,
  type InferRequest,
  type Runtime,
  textTensor,
} from "../../src/contracts/index.ts";
import { openCall } from "../../src/host/call.ts";
import { ModelDataPlane } from "../../src/host/data-plane.ts";
import { Generation } from "../../src/host/generation.ts";
import { ModelGraph } from "../../src/host/model-graph.ts";
import { PluginHost } from "../../src/host/plugin-host.ts";
import { ModelRegistry } from "../../src/host/registry.ts";
import { modelSettingsSchema } from "../../src/settings/model.ts";
import { collect, testCall } from "../../src/testing/index.ts";

const request: InferRequest = { parameters: {}, inputs: [textTensor("x", ["a"])] };
const answer = { outputs: [textTensor("y", ["b"])] };
const call = (timeoutMs?: number) => openCall({ requestId: "r", log: testCall().log, timeoutMs });

let registry: ModelRegistry;
let plane: ModelDataPlane;
beforeEach(() => {
  registry = new ModelRegistry((name) => (name === "broken" ? "its file is missing" : undefined));
  const server = { name: "s", version: "1", extensions: [] };
  plane = new ModelDataPlane({ registry, server, ready: () => true });
});

function serve(runtime: Partial<Runtime>, name = "m"): Generation {
  const generation = new Generation({
    spec: { name, version: "1", folder: "/" },
    settings: modelSettingsSchema.parse({ name, implementation: "x" }),
    raw: {},
    runtime: { infer: async () => answer, async [Symbol.asyncDispose]() {}, ...runtime },
    statistics: registry.statistics(name, "1"),
    resources: new AsyncDisposableStack(),
  });
  registry.publish(generation);
  return generation;
}

describe("infer", () => {
  it("tells an unknown model from one that is not ready", async () => {
    await expect(plane.infer("ghost", undefined, request, call())).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
    await expect(plane.infer("broken", undefined, request, call())).rejects.toMatchObject({
      code: "NOT_READY",
      message: "Model 'broken' is not ready: its file is missing",
    });
    expect(plane.modelReady("broken")).toBe(false);
    expect(() => plane.modelReady("ghost")).toThrow(CapstanError);
  });

  it("does not run what nobody waits for any more", async () => {
    const infer = vi.fn(async () => answer);
    const generation = serve({ infer });
    const left = call();
    left.cancel("The client left");
    await expect(plane.infer("m", "", request, left)).rejects.toMatchObject({ code: "CANCELLED" });
    expect(infer).not.toHaveBeenCalled();
    expect(generation.leases).toBe(0);
  });

  it("discards an answer that comes after the deadline, also when the run held up every timer", async () => {
    serve({
      async infer() {
        const end = Date.now() + 20;
        while (Date.now() < end);
        return answer;
      },
    });
    await expect(plane.infer("m", undefined, request, call(5))).rejects.toMatchObject({
      code: "DEADLINE_EXCEEDED",
    });
    expect(plane.statistics("m")[0]!.inferenceStats.fail.count).toBe(1);
  });

  it("makes a plain error INTERNAL, and keeps it as the cause", async () => {
    const cause = new Error("boom");
    serve({ infer: () => Promise.reject(cause) });
    await expect(plane.infer("m", undefined, request, call())).rejects.toMatchObject({
      code: "INTERNAL",
      cause,
    });
  });
});

describe("inferStream", () => {
  it("gives the one answer of a model that does not stream", async () => {
    serve({});
    expect(await collect(plane.inferStream("m", undefined, request, call()))).toMatchObject([
      { modelName: "m" },
    ]);
  });

  it("holds the generation until the stream is over or left", async () => {
    const stopped = vi.fn();
    const generation = serve({
      async *inferStream() {
        try {
          yield answer;
          yield answer;
        } finally {
          stopped();
        }
      },
    });
    expect(await collect(plane.inferStream("m", undefined, request, call()))).toHaveLength(2);
    for await (const _ of plane.inferStream("m", undefined, request, call())) {
      expect(generation.leases).toBe(1);
      break;
    }
    expect(generation.leases).toBe(0);
    expect(stopped).toHaveBeenCalledTimes(2);
  });

  it("counts a stream that fails", async () => {
    serve({
      // biome-ignore lint/correctness/useYield: it fails before the first answer
      async *inferStream() {
        throw new CapstanError("UPSTREAM", "gone");
      },
    });
    await expect(collect(plane.inferStream("m", undefined, request, call()))).rejects.toMatchObject({
      code: "UPSTREAM",
    });
    expect(plane.statistics("m", "1")[0]!.inferenceStats.fail.count).toBe(1);
  });
});

describe("a whole answer", () => {
  it("is asked for as one, where nobody needs its parts and the model can", async () => {
    const completion = {
      choices: [
        { text: "hello", reasoning: "hm", toolCalls: [], reason: "stop" as const },
        { text: "", toolCalls: [{ id: "c", name: "f", arguments: "{}" }], reason: "tool_calls" as const },
      ],
      usage: { inputTokens: 3, outputTokens: 5 },
    };
    const llm: CapLLM = {
      streamTokens: async function* () {
        yield { type: "text", choice: 0, text: "streamed" };
      },
      predictText: async () => completion,
      async [Symbol.asyncDispose]() {},
    };
    serve({ llm });
    const chat = (whole: boolean) =>
      plane.chat("m", undefined, { prompt: "p", sampling: {}, n: 2 }, { ...call(), whole });
    expect(await collect(chat(false))).toEqual([{ type: "text", choice: 0, text: "streamed" }]);
    expect(await foldParts(chat(true))).toEqual(completion);
    expect(plane.statistics("m", "1")[0]!.inferenceStats.success.count).toBe(2);
  });
});

describe("a model's view of its host", () => {
  const host = () =>
    new PluginHost({
      model: { name: "caller", version: "1", extra: {}, maxBatchSize: 0 },
      folder: "/",
      layers: [],
      graph: new ModelGraph(),
      plane: () => plane,
      resources: new AsyncDisposableStack(),
      parallelWorkers: 0,
      log: call().log,
    });

  it("calls another model in process", async () => {
    const generation = serve({
      llm: {
        async *streamTokens() {
          yield { type: "text", choice: 0, text: "hello" };
        },
        embed: async (texts) => texts.map(() => new Float32Array([1, 2])),
        async [Symbol.asyncDispose]() {},
      },
    });
    const model = host().model("m");
    expect(await model.infer(request, call())).toMatchObject({ outputs: [{ name: "y" }] });
    expect(await collect(model.chat({ prompt: "p", sampling: {} }, call()))).toMatchObject([
      { text: "hello" },
    ]);
    expect(await model.embed(["a"], call())).toEqual([new Float32Array([1, 2])]);
    expect(plane.languageModels()).toEqual([{ name: "m", version: "1" }]);
    await expect(plane.passthrough("m", undefined, "/v1/images", {}, call())).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: "Model 'm' has no upstream that serves /v1/images",
    });
    expect(generation.leases).toBe(0);
  });

  it("is held until the body of an upstream's answer was read, or given up", async () => {
    const generation = serve({
      llm: {
        async *streamTokens() {},
        passthrough: async () => new Response("a picture", { headers: { "content-type": "image/png" } }),
        async [Symbol.asyncDispose]() {},
      },
    });
    const read = await plane.passthrough("m", undefined, "/v1/images", {}, call());
    expect(generation.leases).toBe(1);
    expect(read.headers.get("content-type")).toBe("image/png");
    expect(await read.text()).toBe("a picture");
    expect(generation.leases).toBe(0);
    const left = await plane.passthrough("m", undefined, "/v1/images", {}, call());
    await left.body!.cancel();
    expect(generation.leases).toBe(0);
  });

  it("says what the other model cannot do", async () => {
    serve({});
    const model = host().model("m");
    const unsupported = { code: "UNSUPPORTED", message: "Model 'm' is not a language model" };
    await expect(collect(model.chat({ prompt: "p", sampling: {} }, call()))).rejects.toMatchObject(
      unsupported,
    );
    await expect(model.embed(["a"], call())).rejects.toMatchObject(unsupported);
  });

  it("fetches files through the resolver of their scheme", async () => {
    const { mkdtemp, readFile, rm, writeFile } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const { join } = await import("node:path");
    const folder = await mkdtemp(join(tmpdir(), "capstan-fetch-"));
    const [from, to] = [await mkdtemp(join(folder, "from-")), await mkdtemp(join(folder, "to-"))];
    await writeFile(join(from, "a.txt"), "content");
    await host().fetch(`file://${from}`, to, call());
    expect(await readFile(join(to, "a.txt"), "utf8")).toBe("content");
    await expect(host().fetch(`file://${from}`, join(to, "none"), call())).rejects.toThrow(
      /existing directory/,
    );
    await expect(host().fetch("nowhere://x", to, call())).rejects.toMatchObject({ code: "LOAD_FAILED" });
    await rm(folder, { recursive: true });
  });
});
