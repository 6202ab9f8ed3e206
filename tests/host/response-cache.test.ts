import { describe, expect, it } from "vitest";
import type { InferRequest, InferResponse, Tensor } from "../../src/contracts/index.ts";
import { ResponseCache } from "../../src/host/response-cache.ts";
import { testCall } from "../../src/testing/index.ts";
import { serve, TestRepository } from "../support/server.ts";

const request = (...values: number[]): InferRequest => ({
  parameters: {},
  inputs: [{ name: "x", datatype: "FP32", shape: [values.length], data: Float32Array.from(values) }],
});
const texts = (...values: string[]): InferRequest => ({
  parameters: {},
  inputs: [{ name: "x", datatype: "BYTES", shape: [2], data: values.map((value) => Buffer.from(value)) }],
});

function counted(maxBytes = 1e6) {
  const cache = new ResponseCache(maxBytes);
  let runs = 0;
  const run = async (): Promise<InferResponse> => {
    runs += 1;
    const data = Float32Array.of(0, runs).subarray(1);
    return { outputs: [{ name: "y", datatype: "FP32", shape: [1], data }] };
  };
  const ask = async (asked: InferRequest, generation = 1) => {
    const { response, hit } = await cache.answer(generation, asked, testCall(), run);
    return { value: response.outputs[0]!.data[0], hit };
  };
  return { ask, runs: () => runs };
}

describe("kept answers", () => {
  it("are given to equal requests of the same generation, and to no others", async () => {
    const { ask } = counted();
    expect(await ask(request(1, 2))).toEqual({ value: 1, hit: false });
    expect(await ask(request(1, 2))).toEqual({ value: 1, hit: true });
    expect(await ask(request(1, 3))).toEqual({ value: 2, hit: false });
    expect(await ask(request(1, 2), 2)).toEqual({ value: 3, hit: false });
    expect(await ask(texts("ab", "c"))).toMatchObject({ hit: false });
    expect(await ask(texts("a", "bc"))).toMatchObject({ hit: false });
    expect(await ask(texts("a", "bc"))).toMatchObject({ hit: true });
  });

  it("are made once for equal requests at the same time", async () => {
    const { ask, runs } = counted();
    const answers = await Promise.all([ask(request(1)), ask(request(1)), ask(request(1))]);
    expect(answers.map(({ hit }) => hit)).toEqual([false, true, true]);
    expect(runs()).toBe(1);
  });

  it("leave when there are too many bytes, and are not kept when they are too big", async () => {
    const { ask } = counted(3000);
    for (let value = 0; value < 20; value++) await ask(request(value));
    expect(await ask(request(0))).toMatchObject({ hit: false });
    const small = counted(100);
    await small.ask(request(1));
    expect(await small.ask(request(1))).toMatchObject({ hit: false });
  });

  it("do not come of a failure, nor of a run that all have left", async () => {
    const cache = new ResponseCache(1e6);
    const fail = () => Promise.reject(new Error("no"));
    await expect(cache.answer(1, request(1), testCall(), fail)).rejects.toThrow("no");
    const [one, two] = [new AbortController(), new AbortController()];
    let stopped: unknown;
    const endless = ({ signal }: { signal: AbortSignal }) =>
      new Promise<InferResponse>((_, reject) => {
        signal.addEventListener("abort", () => {
          stopped = signal.reason;
          reject(signal.reason);
        });
      });
    const asked = [one, two].map(({ signal }) => cache.answer(1, request(1), testCall({ signal }), endless));
    const settled = Promise.allSettled(asked);
    one.abort(new Error("left"));
    await expect(asked[0]).rejects.toThrow("left");
    expect(stopped).toBeUndefined();
    two.abort(new Error("left, too"));
    await settled;
    expect(stopped).toMatchObject({ code: "CANCELLED" });
    const { hit } = await cache.answer(1, request(1), testCall(), async () => ({ outputs: [] }));
    expect(hit).toBe(false);
  });

  it("do not come of a run that all have left and that has not stopped yet", async () => {
    const cache = new ResponseCache(1e6);
    const leaving = new AbortController();
    const { promise: stopping, reject: stop } = Promise.withResolvers<InferResponse>();
    const left = cache.answer(1, request(1), testCall({ signal: leaving.signal }), () => stopping);
    leaving.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    const { promise: answering, resolve } = Promise.withResolvers<InferResponse>();
    const next = cache.answer(1, request(1), testCall(), () => answering);
    stop(new Error("stopped"));
    await Promise.resolve();
    const joining = cache.answer(1, request(1), testCall(), () => Promise.reject(new Error("a third run")));
    resolve({ outputs: [] });
    expect(await next).toMatchObject({ hit: false });
    expect(await joining).toMatchObject({ hit: true });
  });

  it("do not end with the deadline of the first who asked", async () => {
    const cache = new ResponseCache(1e6);
    const deadlines: unknown[] = [];
    await cache.answer(1, request(1), { ...testCall(), deadline: Date.now() + 1000 }, async (call) => {
      deadlines.push(call.deadline);
      return { outputs: [] };
    });
    expect(deadlines).toEqual([undefined]);
  });

  it("differ for parameters of another type", async () => {
    const { ask } = counted();
    const withParameter = (k: string | number | boolean) => ({ ...request(1), parameters: { k } });
    for (const k of [1, "1", true, "true"]) expect(await ask(withParameter(k))).toMatchObject({ hit: false });
    expect(await ask(withParameter("1"))).toMatchObject({ hit: true });
  });
});

interface Stats {
  readonly model_stats: readonly [
    {
      readonly execution_count: number;
      readonly inference_count: number;
      readonly inference_stats: Record<string, { count: number }>;
    },
  ];
}

describe("a server", () => {
  const body = (...rows: number[][]) => ({
    inputs: [
      { name: "X", datatype: "FP32", shape: [rows.length, 4], data: rows.flat() } satisfies Omit<
        Tensor,
        "data"
      > & { data: number[] },
    ],
  });
  const iris = { name: "iris", implementation: "onnx", parameters: { uri: "./model.onnx" } };

  async function served(settings: object) {
    const repository = await TestRepository.create();
    await repository.addSample("iris", "iris", { ...iris, ...settings });
    const server = await serve(repository.root, { cache_enabled: true, parallel_workers: 0 });
    const stats = async () => (await server.get("/v2/models/iris/stats")).body as Stats;
    return { repository, server, stats: async () => (await stats()).model_stats[0] };
  }

  it("keeps answers where a model's settings ask for it, until the next load", async () => {
    const { repository, server, stats } = await served({ cache_enabled: true });
    await using _repository = repository;
    await using _server = server;
    const ask = () => server.post("/v2/models/iris/infer", body([5.1, 3.5, 1.4, 0.2]));
    expect((await ask()).body).toEqual((await ask()).body);
    expect(await stats()).toMatchObject({
      execution_count: 1,
      inference_count: 2,
      inference_stats: { cache_hit: { count: 1 }, cache_miss: { count: 1 } },
    });
    await server.post("/v2/repository/models/iris/load");
    await ask();
    expect(await stats()).toMatchObject({ execution_count: 2 });
  });

  it("joins requests at the same time into one run, each with its own answer", async () => {
    const { repository, server, stats } = await served({ max_batch_size: 64 });
    await using _repository = repository;
    await using _server = server;
    const rows = Array.from({ length: 24 }, (_, index) => [index / 4, 3, index / 6, 0.2]);
    const alone = [];
    for (const row of rows) alone.push((await server.post("/v2/models/iris/infer", body(row))).body);
    const before = (await stats()).execution_count;
    const outputs = (answers: unknown[]) => answers.map((answer) => (answer as { outputs: unknown }).outputs);
    const together = await Promise.all(rows.map((row) => server.post("/v2/models/iris/infer", body(row))));
    expect(outputs(together.map((answer) => answer.body))).toEqual(outputs(alone));
    expect((await stats()).execution_count - before).toBeLessThan(24);
    expect((await stats()).inference_count).toBe(48);
  });
});
