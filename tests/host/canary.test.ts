import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CapstanError, type InferRequest, textTensor } from "../../src/contracts/index.ts";
import { openCall } from "../../src/host/call.ts";
import { ModelDataPlane } from "../../src/host/data-plane.ts";
import { Generation } from "../../src/host/generation.ts";
import { ModelRegistry } from "../../src/host/registry.ts";
import { CanaryWatch } from "../../src/host/sources/canary-watch.ts";
import { modelSettingsSchema } from "../../src/settings/model.ts";
import { collect, testCall } from "../../src/testing/index.ts";

let registry: ModelRegistry;
let plane: ModelDataPlane;
beforeEach(() => {
  registry = new ModelRegistry(() => undefined);
  const server = { name: "s", version: "1", extensions: [] };
  plane = new ModelDataPlane({ registry, server, ready: () => true });
});

/** Tells its version, as tensors and as text. */
function serve(version: string): Generation {
  const usage = { inputTokens: 1, outputTokens: 1 };
  const generation = new Generation({
    spec: { name: "m", version, folder: "/" },
    settings: modelSettingsSchema.parse({ name: "m", implementation: "x" }),
    raw: {},
    runtime: {
      infer: async () => ({ outputs: [textTensor("y", [version])] }),
      llm: {
        async *streamTokens() {
          yield { type: "text", choice: 0, text: version };
          yield { type: "finish", choice: 0, reason: "stop", usage };
        },
        async [Symbol.asyncDispose]() {},
      },
      async [Symbol.asyncDispose]() {},
    },
    statistics: registry.statistics("m", version),
    resources: new AsyncDisposableStack(),
  });
  registry.publish(generation);
  return generation;
}

describe("a canary's share", () => {
  let requests = 0;
  beforeEach(() => {
    serve("1");
    serve("2");
    registry.setCanaries(new Map([["m", { version: "2", weight: 30 }]]));
  });

  /** Every request has an id of its own; `key` stands for the caller. */
  const callOf = (key?: string) => {
    const call = openCall({ requestId: `request-${requests++}`, log: testCall().log, timeoutMs: undefined });
    return key === undefined ? call : Object.assign(call, { principal: { id: key } });
  };
  const infers = async (session?: string, key?: string): Promise<string> => {
    const parameters: InferRequest["parameters"] = session === undefined ? {} : { session_id: session };
    return (await plane.infer("m", undefined, { parameters, inputs: [] }, callOf(key))).modelVersion;
  };
  const chats = async (session: string): Promise<string> => {
    const messages = [{ role: "user" as const, content: "?" }];
    const [first] = await collect(plane.chat("m", "", { messages, sampling: {}, session }, callOf()));
    return first?.type === "text" ? first.text : "";
  };
  const many = Array.from({ length: 200 }, (_, index) => `caller-${index}`);

  it("is of sessions, over tensors and over chat, whoever asks", async () => {
    const sides = await Promise.all(many.map((session) => infers(session)));
    expect(await Promise.all(many.map((session) => infers(session, "a key")))).toEqual(sides);
    expect(await Promise.all(many.map((session) => chats(session)))).toEqual(sides);
    const share = sides.filter((version) => version === "2").length / many.length;
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.4);
  });

  it("is of keys where there is no session", async () => {
    const sides = await Promise.all(many.map((key) => infers(undefined, key)));
    expect(new Set(sides)).toEqual(new Set(["1", "2"]));
    expect(await Promise.all(many.map((key) => infers(undefined, key)))).toEqual(sides);
  });

  it.each([
    [0, "1"],
    [100, "2"],
  ])("is nobody or everybody at its ends: %d", async (weight, version) => {
    registry.setCanaries(new Map([["m", { version: "2", weight }]]));
    expect(new Set(await Promise.all(many.map((session) => infers(session))))).toEqual(new Set([version]));
  });
});

describe("a canary's limits", () => {
  let stable: Generation;
  let canary: Generation;
  beforeEach(() => {
    [stable, canary] = [serve("1"), serve("2")];
  });
  const times = (count: number, work: () => void) => Array.from({ length: count }, work);
  const watch = (limits: { max_error_rate?: number; max_latency_ratio?: number }) =>
    new CanaryWatch(canary, stable, { min_requests: 10, ...limits });

  it("hold it against the errors since it began, from min_requests on", () => {
    times(50, () => canary.statistics.failed(1));
    const watched = watch({ max_error_rate: 0.2 });
    times(7, () => canary.statistics.succeeded(1));
    times(2, () => canary.statistics.failed(1));
    expect(watched.verdict()).toBeUndefined();
    canary.statistics.failed(1);
    expect(watched.verdict()).toBe("its error rate is 0.300, above max_error_rate 0.2");
  });

  it("hold what fails against what fails of the version beside it: callers may be at fault", () => {
    const watched = watch({ max_error_rate: 0.2 });
    times(10, () => canary.statistics.failed(1));
    times(10, () => stable.statistics.failed(1));
    expect(watched.verdict()).toBeUndefined();
    times(3, () => stable.statistics.succeeded(1));
    expect(watched.verdict()).toBe(
      "its error rate is 1.000, and that of version 1 is 0.769: the difference is above max_error_rate 0.2",
    );
  });

  it("do not count the requests that their callers gave up", async () => {
    const watched = watch({ max_error_rate: 0.2 });
    const given = openCall({ requestId: "r", log: testCall().log, timeoutMs: undefined });
    const left = new CapstanError("CANCELLED", "The caller left");
    const [succeeds] = [canary.runtime.infer];
    Object.assign(canary.runtime, { infer: async () => Promise.reject(left) });
    for (let count = 0; count < 20; count += 1)
      await expect(plane.infer("m", "2", { parameters: {}, inputs: [] }, given)).rejects.toBe(left);
    Object.assign(canary.runtime, { infer: succeeds });
    times(10, () => canary.statistics.succeeded(1));
    expect(watched.verdict()).toBeUndefined();
    expect(plane.statistics("m", "2")[0]!.inferenceStats.fail.count).toBe(20);
  });

  describe("as time goes by", () => {
    beforeEach(() => vi.useFakeTimers({ toFake: ["performance"] }));
    afterEach(() => vi.useRealTimers());

    it("are of the last minutes: one that breaks after a long time is not carried by what it did before", () => {
      const watched = watch({ max_error_rate: 0.2 });
      times(10_000, () => canary.statistics.succeeded(1));
      expect(watched.verdict()).toBeUndefined();
      for (let minutes = 0; minutes < 10; minutes += 1) {
        vi.advanceTimersByTime(60_000);
        times(10, () => canary.statistics.succeeded(1));
        expect(watched.verdict()).toBeUndefined();
      }
      times(50, () => canary.statistics.failed(1));
      expect(watched.verdict()).toMatch(/^its error rate is 0\.[3-5]\d\d, above/);
    });

    it("are of min_requests at least, however long they take", () => {
      const watched = watch({ max_error_rate: 0.2 });
      for (let count = 0; count < 9; count += 1) {
        vi.advanceTimersByTime(3_600_000);
        canary.statistics.failed(1);
        expect(watched.verdict()).toBeUndefined();
      }
      canary.statistics.failed(1);
      expect(watched.verdict()).toBe("its error rate is 1.000, above max_error_rate 0.2");
    });
  });

  it("hold it against the latency of the version beside it, once both were asked enough", () => {
    const watched = watch({ max_latency_ratio: 2 });
    times(10, () => canary.statistics.succeeded(50));
    times(9, () => stable.statistics.succeeded(10));
    expect(watched.verdict()).toBeUndefined();
    stable.statistics.succeeded(10);
    expect(watched.verdict()).toBe("it takes 5.0 times as long as version 1, above max_latency_ratio 2");
    times(100, () => canary.statistics.succeeded(10));
    expect(watched.verdict()).toBeUndefined();
  });
});
