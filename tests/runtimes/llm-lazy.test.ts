import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Call, type CapLLM, CapstanError, type Part, textTensor } from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { ask, finish, held, openWith, scripted, text } from "./llm-fakes.ts";

const ANSWER: Part[] = [text("a"), text("b"), finish()];

type Model = Awaited<ReturnType<typeof openWith>>;
const answer = (model: Model, call = testCall()) => collect(model.llm.streamTokens(ask("x"), call));

/** Adapters one after the other, each with a name and its disposals. */
function factory() {
  const made: ReturnType<typeof scripted>[] = [];
  const load = vi.fn(async () => {
    const adapter = scripted(ANSWER);
    made.push(adapter);
    return adapter;
  });
  return { made, load };
}

afterEach(() => vi.useRealTimers());

describe("lazy", () => {
  it("loads at the first request, and once", async () => {
    const { load, made } = factory();
    await using model = await openWith(load, { lazy: true });
    expect(load).not.toHaveBeenCalled();
    expect(await Promise.all([answer(model), answer(model)])).toEqual([ANSWER, ANSWER]);
    expect(await answer(model)).toEqual(ANSWER);
    expect(load).toHaveBeenCalledOnce();
    await model[Symbol.asyncDispose]();
    expect(made[0]?.trace.disposed).toBe(1);
  });

  it("opens nothing when it is only disposed", async () => {
    const { load } = factory();
    await (await openWith(load, { lazy: true }))[Symbol.asyncDispose]();
    expect(load).not.toHaveBeenCalled();
  });

  it("says why a load failed, and tries again", async () => {
    const failure = new CapstanError("LOAD_FAILED", "no such file");
    const load = vi.fn<() => Promise<CapLLM>>().mockRejectedValueOnce(failure);
    load.mockResolvedValue(scripted(ANSWER));
    await using model = await openWith(load, { lazy: true });
    const both = await Promise.allSettled([answer(model), answer(model)]);
    expect(both.map((each) => each.status === "rejected" && each.reason)).toEqual([failure, failure]);
    expect(await answer(model)).toEqual(ANSWER);
    expect(load).toHaveBeenCalledTimes(2);
  });

  it("gives up a load when the last who waits has gone, and disposes what comes of it", async () => {
    const gate = Promise.withResolvers<CapLLM>();
    const signals: AbortSignal[] = [];
    const load = vi.fn((_: unknown, { signal }: Call) => {
      signals.push(signal);
      return signals.length === 1 ? gate.promise : scripted(ANSWER);
    });
    await using model = await openWith(load, { lazy: true });
    const reason = new Error("left");
    const callers = [new AbortController(), new AbortController()];
    const lost = callers.map(({ signal }) => answer(model, testCall({ signal })));
    for (const work of lost) work.catch(() => undefined);
    await turn();
    callers[0]?.abort(reason);
    await expect(lost[0]).rejects.toBe(reason);
    expect(signals[0]?.aborted).toBe(false);
    callers[1]?.abort(reason);
    await expect(lost[1]).rejects.toBe(reason);
    expect(signals[0]?.aborted).toBe(true);

    const next = answer(model);
    const orphan = scripted(ANSWER);
    gate.resolve(orphan);
    expect(await next).toEqual(ANSWER);
    expect(orphan.trace).toMatchObject({ disposed: 1, requests: [] });
  });
});

describe("idle_unload", () => {
  it("disposes the adapter when it is idle, and loads it again", async () => {
    const { load, made } = factory();
    await using model = await openWith(load, { idle_unload: "5ms" });
    expect(await answer(model)).toEqual(ANSWER);
    await vi.waitFor(() => expect(made[0]?.trace.disposed).toBe(1));
    expect(await answer(model)).toEqual(ANSWER);
    expect(made[1]?.trace.requests).toHaveLength(1);
  });

  it("waits for streams that are open, and for bodies that are read", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const gate = Promise.withResolvers<void>();
    const disposed = vi.fn(async () => undefined);
    const adapter = {
      ...held(ANSWER, gate.promise),
      passthrough: async () => new Response("body"),
      [Symbol.asyncDispose]: disposed,
    };
    await using model = await openWith(() => adapter, { idle_unload: "10m" });
    const stream = answer(model);
    const first = await model.llm.passthrough!("images", {}, testCall());
    const second = await model.llm.passthrough!("images", {}, testCall());
    const idle = () => vi.advanceTimersByTimeAsync(3_600_000);
    await idle();
    gate.resolve();
    expect(await stream).toEqual(ANSWER);
    await idle();
    await first.body?.cancel();
    await idle();
    expect(disposed).not.toHaveBeenCalled();
    expect(await second.text()).toBe("body");
    await idle();
    expect(disposed).toHaveBeenCalledOnce();
  });

  it("frees the old adapter before a request that comes meanwhile gets a new one", async () => {
    const order: string[] = [];
    const gate = Promise.withResolvers<void>();
    const load = vi.fn(async () => {
      const id = load.mock.calls.length;
      order.push(`load ${id}`);
      return scripted(ANSWER, {
        async [Symbol.asyncDispose]() {
          order.push(`free ${id}`);
          await gate.promise;
          order.push(`freed ${id}`);
        },
      });
    });
    await using model = await openWith(load, { idle_unload: "1ms" });
    await vi.waitFor(() => expect(order).toContain("free 1"));
    const next = answer(model);
    gate.resolve();
    expect(await next).toEqual(ANSWER);
    expect(order.slice(0, 4)).toEqual(["load 1", "free 1", "freed 1", "load 2"]);
  });

  it("logs a fault of disposing, and goes on", async () => {
    const warn = vi.fn();
    const fault = new Error("stuck");
    const failing = scripted(ANSWER, { [Symbol.asyncDispose]: () => Promise.reject(fault) });
    const call = testCall({ log: { ...testCall().log, warn } });
    await using model = await openWith(() => failing, { idle_unload: "1ms" }, call);
    await vi.waitFor(() =>
      expect(warn).toHaveBeenCalledWith({ model: "chat", err: fault }, expect.any(String)),
    );
    expect(await answer(model)).toEqual(ANSWER);
  });

  it("gives the lease of a passthrough that fails back", async () => {
    const disposed = vi.fn(async () => undefined);
    const fault = new CapstanError("UPSTREAM", "gone");
    const adapter = scripted([], {
      passthrough: async (route) => {
        if (route === "images") throw fault;
        return new Response(null, { status: 204 });
      },
      [Symbol.asyncDispose]: disposed,
    });
    await using model = await openWith(() => adapter, { idle_unload: "1ms" });
    await expect(model.llm.passthrough!("images", {}, testCall())).rejects.toBe(fault);
    expect((await model.llm.passthrough!("files", {}, testCall())).status).toBe(204);
    await vi.waitFor(() => expect(disposed).toHaveBeenCalled());
  });
});

describe("disposal", () => {
  it("refuses what comes after it, and ends a stream that its reader left standing", async () => {
    const adapter = scripted(ANSWER);
    const model = await openWith(() => adapter);
    const parts = model.llm.streamTokens(ask("x"), testCall())[Symbol.asyncIterator]();
    await parts.next();
    await model[Symbol.asyncDispose]();
    const unloaded = { code: "NOT_READY", message: "Model 'chat' has been unloaded" };
    await expect(parts.next()).rejects.toMatchObject(unloaded);
    expect(adapter.trace).toMatchObject({ left: 1, disposed: 1 });
    await expect(answer(model)).rejects.toMatchObject(unloaded);
    await expect(
      model.llm.streamTokens(ask("x"), testCall())[Symbol.asyncIterator]().next(),
    ).rejects.toMatchObject(unloaded);
  });

  it("lets a request finish that waits for its adapter", async () => {
    const gate = Promise.withResolvers<CapLLM>();
    const model = await openWith(() => gate.promise, { lazy: true });
    const work = model.infer({ parameters: {}, inputs: [textTensor("prompt", ["x"])] }, testCall());
    await turn();
    const disposal = model[Symbol.asyncDispose]();
    const adapter = scripted(ANSWER);
    gate.resolve(adapter);
    await disposal;
    expect(await work).toEqual({ outputs: [textTensor("text_output", ["ab"])] });
    expect(adapter.trace.disposed).toBe(1);
  });
});
