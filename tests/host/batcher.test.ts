import { describe, expect, it } from "vitest";
import type { CapLLM, InferRequest, Tensor } from "../../src/contracts/index.ts";
import { Batcher } from "../../src/host/batching/batcher.ts";
import { batchedEmbeddings } from "../../src/host/batching/embeddings.ts";
import { divide, hasRows, join, keyOf, rowsOf } from "../../src/host/batching/tensors.ts";
import { testCall } from "../../src/testing/index.ts";

interface Run {
  readonly words: readonly string[];
  finish(): void;
}

/** A model of words that answers each in capitals, when it is told to. */
function model(
  limits: Partial<{ maxRows: number; maxWaitMs: number; concurrency: number }> = {},
  auto = true,
) {
  const runs: Run[] = [];
  const measured: number[] = [];
  const batcher = new Batcher<readonly string[], readonly string[]>(
    {
      rows: (words) => (words[0] === "alone" ? undefined : words.length),
      key: (words) => (words[0]?.startsWith("#") ? "marked" : "plain"),
      join: (requests) => requests.flat(),
      divide(answer, requests) {
        if (answer.includes("WHOLE")) return undefined;
        let from = 0;
        return requests.map(({ length }) => {
          from += length;
          return answer.slice(from - length, from);
        });
      },
      async run(words, { signal }) {
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        runs.push({ words, finish: resolve });
        signal.addEventListener("abort", () => reject(signal.reason));
        if (auto) resolve();
        await promise;
        if (words.includes("poison")) throw new Error("poison");
        return words.map((word) => word.toUpperCase());
      },
      ran: (rows) => measured.push(rows),
    },
    { maxRows: 8, maxWaitMs: 0, concurrency: 1, ...limits },
  );
  const ask = (...words: string[]) => batcher.run(words, testCall());
  return { batcher, runs, measured, ask };
}

const tick = () => new Promise(setImmediate);

describe("a batcher", () => {
  it("sends a lone request at once, and joins those of one turn", async () => {
    const { ask, runs, measured } = model();
    expect(await ask("a")).toEqual(["A"]);
    expect(await Promise.all([ask("b", "c"), ask("d"), ask("e")])).toEqual([["B", "C"], ["D"], ["E"]]);
    expect(runs.map(({ words }) => words.join(""))).toEqual(["a", "bcde"]);
    expect(measured).toEqual([1, 4]);
  });

  it("collects while the model is busy, and counts rows", async () => {
    const { ask, runs, batcher } = model({ maxRows: 3 }, false);
    const first = ask("a");
    await tick();
    const later = [ask("b"), ask("c", "d"), ask("e")];
    await tick();
    expect(runs).toHaveLength(1);
    expect(batcher.waiting).toBe(3);
    runs[0]!.finish();
    await first;
    await tick();
    expect(runs[1]!.words).toEqual(["b", "c", "d"]);
    runs[1]!.finish();
    await tick();
    await tick();
    runs[2]!.finish();
    expect(await Promise.all(later)).toEqual([["B"], ["C", "D"], ["E"]]);
  });

  it("joins only what is alike, and runs by itself what has no rows or is full", async () => {
    const { ask, runs } = model({ maxRows: 2 });
    await Promise.all([ask("a"), ask("#b"), ask("alone"), ask("c", "d"), ask("e")]);
    expect(runs.map(({ words }) => words.join("")).sort()).toEqual(["#b", "ae", "alone", "cd"]);
  });

  it("fails only the bad one of a batch", async () => {
    const { ask } = model({ maxRows: 64 });
    const words = Array.from({ length: 32 }, (_, index) => (index === 7 ? "poison" : `w${index}`));
    const settled = await Promise.allSettled(words.map((word) => ask(word)));
    expect(settled.filter(({ status }) => status === "rejected")).toHaveLength(1);
    expect(settled[7]).toMatchObject({ status: "rejected", reason: { message: "poison" } });
    expect(settled[31]).toEqual({ status: "fulfilled", value: ["W31"] });
  });

  it("stops joining where answers cannot be divided", async () => {
    const { ask, runs } = model();
    expect(await Promise.all([ask("whole"), ask("a")])).toEqual([["WHOLE"], ["A"]]);
    expect(runs).toHaveLength(3);
    await Promise.all([ask("b"), ask("c")]);
    expect(runs).toHaveLength(5);
  });

  it("drops what nobody waits for, and ends a run with its last member", async () => {
    const { batcher, runs } = model({}, false);
    const [one, two, waiting] = Array.from({ length: 3 }, () => new AbortController());
    const call = (signal: AbortSignal) => testCall({ signal });
    const running = [batcher.run(["a"], call(one!.signal)), batcher.run(["b"], call(two!.signal))];
    const settled = Promise.allSettled(running);
    await tick();
    const dropped = batcher.run(["c"], call(waiting!.signal));
    waiting!.abort(new Error("left"));
    await expect(dropped).rejects.toThrow("left");
    expect(batcher.waiting).toBe(0);
    one!.abort(new Error("gone"));
    await tick();
    expect(runs).toHaveLength(1);
    two!.abort(new Error("gone, too"));
    expect((await settled).map((each) => (each as PromiseRejectedResult).reason.message)).toEqual([
      "gone",
      "gone, too",
    ]);
    expect(runs).toHaveLength(1);
  });

  it("drops what was aborted before its turn came", async () => {
    const { batcher, ask, runs } = model();
    const gone = batcher.run(["a"], testCall({ signal: AbortSignal.abort(new Error("left")) }));
    const [settled, answer] = await Promise.all([gone.catch((error: Error) => error.message), ask("b")]);
    expect([settled, answer]).toEqual(["left", ["B"]]);
    expect(runs.map(({ words }) => words)).toEqual([["b"]]);
  });

  it("waits no longer than it may for a busy model", async () => {
    const { ask, runs } = model({ maxWaitMs: 5 }, false);
    const all = [ask("a")];
    await tick();
    all.push(ask("b"), ask("c"));
    while (runs.length < 2) await tick();
    expect(runs[1]!.words).toEqual(["b", "c"]);
    for (const run of runs) run.finish();
    expect(await Promise.all(all)).toEqual([["A"], ["B"], ["C"]]);
  });

  it("keeps several runs going where the model can", async () => {
    const { ask, runs } = model({ concurrency: 2 }, false);
    const all = [ask("a")];
    await tick();
    all.push(ask("b"));
    await tick();
    expect(runs).toHaveLength(2);
    for (const run of runs) run.finish();
    await Promise.all(all);
  });
});

describe("requests as one", () => {
  const tensor = (
    name: string,
    shape: number[],
    data: Tensor["data"],
    parameters?: Tensor["parameters"],
  ): Tensor => ({
    ...{ name, datatype: Array.isArray(data) ? "BYTES" : "FP32", shape, data },
    ...(parameters && { parameters }),
  });
  const request = (inputs: Tensor[], more: Partial<InferRequest> = {}): InferRequest => ({
    parameters: {},
    inputs,
    ...more,
  });
  const bytes = (...texts: string[]) => texts.map((text) => Buffer.from(text));

  it("have their rows one after the other, and get theirs back", () => {
    const one = request([tensor("x", [1, 2], Float32Array.of(1, 2)), tensor("t", [1], bytes("a"))]);
    const two = request([
      tensor("x", [2, 2], Float32Array.of(3, 4, 5, 6)),
      tensor("t", [2], bytes("b", "c")),
    ]);
    const joined = join([one, two]);
    expect(joined.inputs).toEqual([
      tensor("x", [3, 2], Float32Array.of(1, 2, 3, 4, 5, 6)),
      tensor("t", [3], bytes("a", "b", "c")),
    ]);
    const [first, second] = divide({ outputs: joined.inputs, parameters: { p: 1 } }, [one, two])!;
    expect(first).toEqual({ outputs: one.inputs, parameters: { p: 1 } });
    expect(second!.outputs).toEqual(two.inputs);
    expect(divide({ outputs: [tensor("y", [1], Float32Array.of(1))] }, [one, two])).toBeUndefined();
  });

  it("are alike only in everything but their rows", () => {
    const x = (shape: number[], parameters?: Tensor["parameters"]) =>
      tensor("x", shape, new Float32Array(shape.reduce((a, b) => a * b)), parameters);
    const base = keyOf(request([x([1, 2])]));
    expect(keyOf(request([x([5, 2])], { parameters: { timeout: 5, priority: 1 } }))).toBe(base);
    const others = [
      request([x([1, 3])]),
      request([{ ...x([1, 2]), name: "y" }]),
      request([{ ...x([1, 2]), datatype: "FP64", data: new Float64Array(2) }]),
      request([x([1, 2], { content_type: "np" })]),
      request([x([1, 2])], { parameters: { temperature: 1 } }),
      request([x([1, 2])], { outputs: [{ name: "y" }] }),
      request([x([1, 2])], { outputs: [{ name: "y", parameters: { classification: 2 } }] }),
    ];
    expect(new Set([base, ...others.map(keyOf)]).size).toBe(others.length + 1);
  });

  it("have rows where all inputs agree", () => {
    const x = (rows: number) => tensor("x", [rows, 1], new Float32Array(rows));
    expect(rowsOf(request([x(2), x(2)]))).toBe(2);
    expect(
      [
        request([]),
        request([x(0)]),
        request([x(1), x(2)]),
        request([tensor("s", [], Float32Array.of(1))]),
      ].map(rowsOf),
    ).toEqual(Array(4).fill(undefined));
    expect(hasRows([{ name: "x", datatype: "FP32", shape: [-1, 4] }])).toBe(true);
    expect([undefined, [], [{ name: "x", datatype: "FP32", shape: [4] } as const]].map(hasRows)).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("embeddings", () => {
  it("of several requests are made together", async () => {
    const asked: (readonly string[])[] = [];
    const llm = {
      async embed(texts: readonly string[]) {
        asked.push(texts);
        const vectors = texts.map((text) => Float32Array.of(text.length));
        return { vectors, inputTokens: texts.map((text) => text.length * 10) };
      },
    } as unknown as CapLLM;
    const model = { name: "m", version: "1", extra: {}, maxBatchSize: 8 };
    const layered = batchedEmbeddings(llm, model);
    const [one, two] = await Promise.all([
      layered.embed!(["a", "bb"], testCall()),
      layered.embed!(["ccc"], testCall()),
    ]);
    expect([one, two]).toEqual([
      { vectors: [Float32Array.of(1), Float32Array.of(2)], inputTokens: [10, 20] },
      { vectors: [Float32Array.of(3)], inputTokens: [30] },
    ]);
    expect(asked).toEqual([["a", "bb", "ccc"]]);
    expect(batchedEmbeddings(llm, { ...model, maxBatchSize: 0 })).toBe(llm);
  });
});
