import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { InferRequest, Part } from "../../src/contracts/index.ts";
import { CapstanError, textOf, textTensor } from "../../src/contracts/index.ts";
import { CREDIT } from "../../src/host/isolation/peer.ts";
import { LONGEST_RUN_MS, placementAfter, placementOf } from "../../src/host/isolation/placement.ts";
import { workerCounts } from "../../src/host/isolation/worker.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { keptLog, loadAdapter, loadRuntime, spec } from "../support/isolation.ts";
import { SAMPLES, serve } from "../support/server.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const IRIS = {
  name: "iris",
  version: "1",
  folder: join(SAMPLES, "iris"),
  artifact: join(SAMPLES, "iris/model.onnx"),
};
const ROWS: InferRequest = {
  parameters: {},
  inputs: [
    { name: "X", datatype: "FP32", shape: [2, 4], data: Float32Array.of(6.3, 3.4, 5.6, 2.4, 5, 3, 1, 0.2) },
  ],
};

describe("an ONNX model", () => {
  it.each([
    ["two threads", { workers: 2 }],
    ["a process", { isolation: "process" }],
  ] as const)("gives equal answers from %s", async (_, extra) => {
    await using here = await loadRuntime("onnx", IRIS, {});
    await using isolated = await loadRuntime("onnx", IRIS, {}, { extra });
    const expected = await here.infer(ROWS, testCall());
    const answers = await Promise.all([1, 2, 3, 4].map(() => isolated.infer(ROWS, testCall())));
    for (const { outputs } of answers) expect(outputs).toEqual(expected.outputs);
    expect([isolated.inputs, isolated.outputs, isolated.platform]).toEqual([
      here.inputs,
      here.outputs,
      here.platform,
    ]);
  });

  it("keeps its thread when it does not stop in time: that would end the server", async () => {
    await files.write(
      "m.ts",
      `import "onnxruntime-node";
      export default ({ id }: { id?: string }) => {
        const until = performance.now() + 1500;
        while (id === "slow" && performance.now() < until);
        return { outputs: [{ name: "y", data: [1] }] };
      }`,
    );
    const { log, lines } = keptLog();
    const options = { extra: { isolation: "thread" }, log } as const;
    await using runtime = await loadRuntime("module", spec(files.root), { module: "./m.ts" }, options);
    const controller = new AbortController();
    const reason = new CapstanError("DEADLINE_EXCEEDED", "too late");
    const call = testCall({ signal: controller.signal });
    const slow = runtime.infer({ id: "slow", parameters: {}, inputs: [] }, call);
    const next = runtime.infer({ parameters: {}, inputs: [] }, testCall());
    await sleep(100);
    controller.abort(reason);
    await expect(slow).rejects.toBe(reason);
    expect((await next).outputs[0]!.data).toEqual(Float64Array.of(1));
    expect(lines.map(({ text }) => text)).toEqual([expect.stringContaining('isolation to "process"')]);
  });
});

describe("an adapter", () => {
  const hello = { messages: [{ role: "user", content: "a b c" }], sampling: {} } as const;
  const words = (parts: readonly Part[]) => parts.flatMap((part) => (part.type === "text" ? part.text : []));

  it.each(["thread", "process"] as const)("streams from a %s", async (isolation) => {
    await using llm = await loadAdapter("echo", spec(files.root), {}, { extra: { isolation } });
    const parts = await collect(llm.streamTokens(hello, testCall()));
    expect(words(parts)).toEqual(["Echo:", " a", " b", " c"]);
    expect(parts.at(-1)).toMatchObject({ type: "finish", reason: "stop" });
    expect(llm.predictText).toBeUndefined();
  });

  it("stops when its reader leaves or aborts", async () => {
    await using llm = await loadAdapter(
      "echo",
      spec(files.root),
      { delay_ms: 1 },
      { extra: { isolation: "thread" } },
    );
    const long = { prompt: "w ".repeat(10 * CREDIT), sampling: {} };
    for await (const _ of llm.streamTokens(long, testCall())) break;
    const controller = new AbortController();
    const reason = new Error("enough");
    const read = async () => {
      for await (const _ of llm.streamTokens(long, testCall({ signal: controller.signal })))
        controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    expect(words(await collect(llm.streamTokens(hello, testCall())))).toHaveLength(4);
  });

  it("that asks for a thread has one, unless the settings say otherwise", async () => {
    await files.write(
      "a.ts",
      `import { defineAdapter } from "capstan";
      import { threadId } from "node:worker_threads";
      import { z } from "zod";
      export default defineAdapter({
        name: "a", options: z.strictObject({}), isolation: "thread",
        load: async () => ({
          async *streamTokens() {
            yield { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: threadId, outputTokens: 0 } };
          },
          tokenize: async () => [threadId],
          predictText: async () => ({ choices: [], usage: { inputTokens: threadId, outputTokens: 0 } }),
          embed: async (texts) => ({ vectors: [new Float32Array([1, 2]).subarray(0, 1)], inputTokens: [3] }),
          passthrough: async (route) => new Response(route, { status: 201 }),
          async [Symbol.asyncDispose]() {},
        }),
      });`,
    );
    const thread = async (options: Parameters<typeof loadAdapter>[3]) => {
      await using llm = await loadAdapter("./a.ts", spec(files.root), {}, options);
      const request = { prompt: "p", sampling: {} };
      expect((await llm.predictText!(request, testCall())).choices).toEqual([]);
      expect(await llm.embed!(["a"], testCall())).toEqual({
        ...{ vectors: [Float32Array.of(1)], inputTokens: [3] },
      });
      const response = await llm.passthrough!("/v1/images", {}, testCall());
      expect([response.status, await response.text()]).toEqual([201, "/v1/images"]);
      return (await llm.tokenize!("x", testCall()))[0];
    };
    expect(await thread({})).toBeGreaterThan(0);
    expect(await thread({ extra: { isolation: "none" } })).toBe(0);
    expect(await thread({ parallelWorkers: 0 })).toBe(0);
  });
});

describe("a server", () => {
  /** Holds its thread for so many milliseconds. */
  const BUSY = `
    import { threadId } from "node:worker_threads";
    export const inputs = [{ name: "ms", datatype: "INT32", shape: [1] }];
    export const outputs = [{ name: "thread", datatype: "INT32", shape: [1] }];
    export default ({ inputs: [ms] }) => {
      const until = performance.now() + ms.data[0];
      while (performance.now() < until);
      return { outputs: [{ name: "thread", data: [threadId] }] };
    }`;
  const body = (ms: number) => ({ inputs: [{ name: "ms", datatype: "INT32", shape: [1], data: [ms] }] });
  const busy = (extra: object) =>
    Files.create({
      "busy/model-settings.json": { name: "busy", implementation: "./busy.ts", parameters: { extra } },
      "busy/busy.ts": BUSY,
    });

  it("answers what a thread computes before it ends, with its threads joined", async () => {
    await using repository = await busy({ isolation: "thread" });
    const before = workerCounts.started - workerCounts.joined;
    const server = await serve(repository.root);
    const computing = server.post("/v2/models/busy/infer", body(300));
    expect((await server.request("/v2/health/live")).status).toBe(200);
    expect((await computing).status).toBe(200);
    await server.running.close();
    expect(workerCounts.started - workerCounts.joined).toBe(before);
  });

  it("is alive while a model is in an endless loop, ends that at its deadline, and counts user code", async () => {
    await using repository = await busy({ isolation: "thread" });
    await using server = await serve(repository.root);
    let answered = false;
    const looping = server.request("/v2/models/busy/infer", {
      method: "POST",
      headers: { "content-type": "application/json", "x-request-timeout-ms": "2000" },
      body: JSON.stringify(body(1_000_000)),
    });
    const status = looping.then((response) => {
      answered = true;
      return response.status;
    });
    for (let n = 0; n < 3; n++) expect((await server.request("/v2/health/live")).status).toBe(200);
    expect(answered).toBe(false);
    expect(await status).toBe(504);
    const ask = () => server.post("/v2/models/busy/infer", body(0));
    await expect.poll(async () => (await ask()).status, { timeout: 10_000 }).toBe(200);
    const metrics = await (await fetch(`http://127.0.0.1:${server.running.metrics!.port}/metrics`)).text();
    expect(metrics).toMatch(/^capstan_user_code_generations [1-9]/m);
  });

  it.each([
    ["moves a model that holds the event loop to a thread", {}, 1, 30, 1],
    ["leaves a quick one where it is", {}, 1, 0, 0],
    ["leaves it where it is with workers: 0", { workers: 0 }, 1, 30, 0],
    ["leaves it where it is with parallel_workers: 0", {}, 0, 30, 0],
  ])("%s", async (_, extra, parallelWorkers, ms, least) => {
    await using repository = await busy(extra);
    const output = { name: "thread", datatype: "INT32", shape: [1], data: [0] };
    const tolerance = { atol: 1e9 };
    const cases = [{ name: "busy", inputs: body(ms).inputs, outputs: [output] }];
    await repository.write("busy/cases.json", { tolerance, cases });
    await using server = await serve(repository.root, { parallel_workers: parallelWorkers });
    const { body: answer } = await server.post("/v2/models/busy/infer", body(0));
    const [thread] = (answer as { outputs: { data: number[] }[] }).outputs[0]!.data;
    expect(Math.min(thread!, 1)).toBe(least);
  });

  it("isolates the adapter of a language model, not what the host puts around it", async () => {
    await using repository = await Files.create({
      "chat/model-settings.json": {
        name: "chat",
        implementation: "llm",
        parameters: { extra: { framework: "echo", isolation: "thread" } },
      },
    });
    const before = workerCounts.started;
    await using server = await serve(repository.root);
    expect(workerCounts.started - before).toBe(1);
    const { body: answer } = await server.post("/v2/models/chat/infer", {
      inputs: [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["hi"] }],
    });
    expect(answer).toMatchObject({ outputs: [{ name: "text_output", data: ["Echo: hi"] }] });
  });
});

describe("a runtime that converts requests", () => {
  it("stays here, since the host needs its conversions at once; what it loads is isolated", async () => {
    await files.write(
      "outer.ts",
      `import { defineRuntime } from "capstan";
      import { z } from "zod";
      export default defineRuntime({
        name: "outer", options: z.strictObject({}),
        async load(model, _options, host, call) {
          const inner = await host.runtime("module", model, { module: "./inner.ts" }, call);
          return {
            prepare: (request) => ({ ...request, parameters: { prepared: true } }),
            infer: (request, call) => inner.infer(request, call),
            [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
          };
        },
      });`,
    );
    await files.write(
      "inner.ts",
      `import { threadId } from "node:worker_threads";
      export default (request) => ({ outputs: [{ name: "y", data: [threadId] }], parameters: request.parameters })`,
    );
    await using runtime = await loadRuntime(
      "./outer.ts",
      spec(files.root),
      {},
      { extra: { isolation: "thread" } },
    );
    const request = { parameters: {}, inputs: [textTensor("x", ["a"])] };
    expect(runtime.prepare?.(request).parameters).toEqual({ prepared: true });
    const { outputs, parameters } = await runtime.infer(runtime.prepare!(request), testCall());
    expect(outputs[0]!.data[0]).toBeGreaterThan(0);
    expect(parameters).toEqual({ prepared: true });
    expect(textOf(request.inputs[0]!.data as Uint8Array[])).toEqual(["a"]);
  });
});

describe("where a model runs", () => {
  it.each([
    [{}, 1, undefined, { kind: "here", open: true }],
    [{ isolation: "none" }, 1, "thread", { kind: "here", open: false }],
    [{ isolation: "thread" }, 1, undefined, { kind: "thread", count: 1 }],
    [{ isolation: "thread", workers: 0 }, 1, undefined, { kind: "thread", count: 1 }],
    [{ isolation: "thread", workers: 3 }, 1, undefined, { kind: "thread", count: 3 }],
    [{ isolation: "thread" }, 0, undefined, { kind: "here", open: false }],
    [{ isolation: "process" }, 0, undefined, { kind: "process", count: 1 }],
    [{ isolation: "process", workers: 2 }, 1, undefined, { kind: "process", count: 2 }],
    [{ workers: 2 }, 1, undefined, { kind: "thread", count: 2 }],
    [{ workers: 2 }, 0, undefined, { kind: "here", open: false }],
    [{ workers: 0 }, 1, "thread", { kind: "here", open: false }],
    [{}, 1, "thread", { kind: "thread", count: 1 }],
    [{}, 0, "thread", { kind: "here", open: false }],
  ] as const)(
    "%j with parallel_workers %i and a plugin that asks for %s",
    (extra, parallel, declared, expected) => {
      expect(placementOf(extra, parallel, declared)).toEqual(expected);
    },
  );

  it("is on threads after a warm-up that took too long", () => {
    expect(placementAfter(LONGEST_RUN_MS, 2)).toBeUndefined();
    expect(placementAfter(LONGEST_RUN_MS + 1, 2)).toEqual({ kind: "thread", count: 2 });
    expect(placementAfter(LONGEST_RUN_MS + 1, 0)).toBeUndefined();
  });
});
