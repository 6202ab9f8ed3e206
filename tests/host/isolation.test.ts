import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { InferRequest, Runtime } from "../../src/contracts/index.ts";
import { CapstanError } from "../../src/contracts/index.ts";
import { workerCounts } from "../../src/host/isolation/worker.ts";
import { userCodeCounts } from "../../src/host/user-code/counts.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { type HostOptions, keptLog, loadAdapter, loadRuntime, spec } from "../support/isolation.ts";

let files: Files;
beforeEach(async () => {
  files = await Files.create();
});
afterEach(() => files[Symbol.asyncDispose]());

const THREAD: HostOptions = { extra: { isolation: "thread" } };
const PROCESS: HostOptions = { extra: { isolation: "process" } };

/** A request whose only input says what to do. */
const asks = (what: string): InferRequest => ({
  parameters: {},
  inputs: [{ name: "x", datatype: "BYTES", shape: [1], data: [Buffer.from(what)] }],
});

/** Does what it is asked; `calls` tells whether it is still the same. */
const CODE = `
import { threadId } from "node:worker_threads";
import { CapstanError, type Call, type InferRequest, textOf } from "capstan";
let calls = 0;
const forever = () => new Promise<never>(() => {});
const acts: Record<string, (call: Call) => unknown> = {
  where: () => [threadId, process.pid],
  count: () => [calls],
  limit: () => { throw new CapstanError("RATE_LIMITED", "later", { retryAfterMs: 9, param: "x" }) },
  throw: () => { throw new Error("thrown") },
  loop: () => { for (;;); },
  wait: forever,
  exit: () => { process.exit(3) },
  timer: () => { setTimeout(() => { throw new Error("from a timer") }); return forever() },
  rejection: () => { void Promise.reject(5); return forever() },
  die: () => { process.removeAllListeners("uncaughtException"); setTimeout(() => { throw new Error("dead") }); return forever() },
  kill: () => { process.kill(process.pid, "SIGKILL"); return forever() },
  log: ({ log, requestId, deadline, priority, principal }) => {
    log.warn({ requestId, deadline, priority, principal }, "from inside");
    return [1];
  },
};
export default class {
  async predict({ inputs: [x] }: InferRequest, call: Call) {
    calls += 1;
    return { outputs: [{ name: "y", data: await acts[textOf(x.data as Uint8Array[])[0]](call) }] };
  }
  async *inferStream(_: InferRequest, call: Call) {
    for (let n = 0; n < 100; n++) yield { outputs: [{ name: "n", data: [n] }] };
  }
}`;

async function model(options: HostOptions, code = CODE): Promise<Runtime> {
  await files.write("m.ts", code);
  return loadRuntime("module", spec(files.root), { module: "./m.ts" }, options);
}

async function answer(runtime: Runtime, what: string, call = testCall()): Promise<number[]> {
  const { outputs } = await runtime.infer(asks(what), call);
  return Array.from(outputs[0]!.data as Float64Array);
}

/** A call that is aborted as a deadline does it. */
function overdue(ms: number) {
  const controller = new AbortController();
  const reason = new CapstanError("DEADLINE_EXCEEDED", "too late");
  setTimeout(() => controller.abort(reason), ms);
  return testCall({ signal: controller.signal, deadline: Date.now() + ms });
}

describe("a model on a thread", () => {
  it("answers as it does here, in this process and not in this thread", async () => {
    await using here = await model({});
    await using isolated = await model(THREAD);
    expect(await answer(here, "where")).toEqual([0, process.pid]);
    const [thread, pid] = await answer(isolated, "where");
    expect(pid).toBe(process.pid);
    expect(thread).toBeGreaterThan(0);
    expect(isolated.platform).toBe("module");
    expect(isolated.ready?.()).toBe(true);
    const streamed = await collect(isolated.inferStream!(asks("stream"), testCall()));
    expect(streamed.map(({ outputs }) => outputs[0]!.data[0])).toEqual(
      Array.from({ length: 100 }, (_, n) => n),
    );
  });

  it("keeps the codes of errors, and names file and line", async () => {
    await using runtime = await model(THREAD);
    await expect(answer(runtime, "limit")).rejects.toMatchObject({
      code: "RATE_LIMITED",
      retryAfterMs: 9,
      param: "x",
    });
    await expect(answer(runtime, "throw")).rejects.toMatchObject({
      code: "INTERNAL",
      message: "Model 'm' failed at m.ts:10: thrown",
    });
  });

  it("has the circumstances of the request, and its log", async () => {
    await using runtime = await model(THREAD);
    const { log, lines } = keptLog();
    const principal = { id: "ada", role: "user", admin: false };
    const deadline = Date.now() + 60_000;
    await answer(runtime, "log", testCall({ log, requestId: "r7", deadline, priority: 2, principal }));
    const fields = { requestId: "r7", deadline, priority: 2, principal };
    expect(lines).toEqual([{ level: "warn", fields, text: "from inside" }]);
  });

  it("fails the request whose code threw into the void, and goes on", async () => {
    const { log, lines } = keptLog();
    await using runtime = await model({ ...THREAD, log });
    await expect(answer(runtime, "timer")).rejects.toMatchObject({
      code: "INTERNAL",
      message: "Model 'm' failed at m.ts:14: from a timer",
    });
    await expect(answer(runtime, "rejection")).rejects.toThrow("Model 'm' failed: 5");
    await expect(answer(runtime, "exit")).rejects.toThrow("called process.exit()");
    expect(await answer(runtime, "count")).toEqual([4]);
    expect(lines.map(({ level, text }) => [level, text])).toEqual([
      ["error", "The code of model 'm' threw outside of its answer at m.ts:14: from a timer"],
      ["error", "The code of model 'm' threw outside of its answer: 5"],
    ]);
    expect(userCodeCounts.failures.get("m")).toBeGreaterThanOrEqual(2);
  });

  it("in an endless loop is ended when a deadline passed, and started again", async () => {
    const { log, lines } = keptLog();
    await using runtime = await model({ ...THREAD, log });
    const [thread] = await answer(runtime, "where");
    const loop = answer(runtime, "loop", overdue(50));
    const other = answer(runtime, "count");
    const [looped, waited] = await Promise.allSettled([loop, other]);
    expect(looped).toMatchObject({ reason: { code: "DEADLINE_EXCEEDED" } });
    expect(waited).toMatchObject({
      reason: {
        code: "NOT_READY",
        retryAfterMs: 1000,
        message: expect.stringContaining("send this one again"),
      },
    });
    const [next] = await answer(runtime, "where");
    expect(next).not.toBe(thread);
    expect(lines.map(({ text }) => text)).toContain(
      "The model does not stop: its thread or process was ended, and is started again",
    );
  });

  it("that waits in vain is left alone: its thread goes on answering", async () => {
    await using runtime = await model({ ...THREAD });
    await expect(answer(runtime, "wait", overdue(20))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await sleep(1100);
    expect(await answer(runtime, "count")).toEqual([2]);
  });

  it("that dies is replaced, and its requests are answered", async () => {
    await using runtime = await model(THREAD);
    const waiting = expect(answer(runtime, "wait")).rejects.toThrow("broke off");
    await expect(answer(runtime, "die")).rejects.toThrow(/broke off: Error: dead/);
    await waiting;
    expect(await answer(runtime, "count")).toEqual([1]);
  });

  it("is started again at once as long as it answers, and later each time when it does not", async () => {
    const { log, lines } = keptLog();
    await using runtime = await model({ ...THREAD, log });
    const dies = () => expect(answer(runtime, "die")).rejects.toThrow("broke off");
    for (let time = 0; time < 3; time++) {
      await answer(runtime, "count");
      await dies();
    }
    await dies();
    const delays = lines.flatMap(({ fields }) => ("delay_ms" in fields ? [fields.delay_ms] : []));
    expect(delays).toEqual([0, 0, 0, 500]);
  });

  it("that cannot be started again is tried until it can, and is not ready until then", async () => {
    const { log, lines } = keptLog();
    await using runtime = await model({ ...THREAD, log });
    await files.write("m.ts", "throw new Error('half an edit')");
    await expect(answer(runtime, "die")).rejects.toThrow("broke off");
    const failed = "An isolated model could not be started again";
    await expect.poll(() => lines.some(({ text }) => text === failed)).toBe(true);
    expect(runtime.ready?.()).toBe(false);
    await expect(answer(runtime, "count", overdue(1))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    await files.write("m.ts", CODE);
    expect(await answer(runtime, "count")).toEqual([1]);
  });

  it("answers what is under way when it is disposed, and is joined", async () => {
    const code = `let go: () => void;
      export default async ({ id }: { id?: string }) => {
        if (id === "go") go();
        else await new Promise<void>((resolve) => { go = resolve });
        return { outputs: [{ name: "y", data: [1] }] };
      }`;
    const before = { ...workerCounts };
    const generations = userCodeCounts.generations;
    const runtime = await model(THREAD, code);
    expect(userCodeCounts.generations).toBe(generations + 1);
    const held = answer(runtime, "held");
    const disposal = runtime[Symbol.asyncDispose]();
    await expect(answer(runtime, "late")).rejects.toMatchObject({ code: "NOT_READY" });
    await expect(held).rejects.toMatchObject({ code: "NOT_READY" });
    await disposal;
    await runtime[Symbol.asyncDispose]();
    expect(workerCounts.joined - before.joined).toBe(workerCounts.started - before.started);
    expect(userCodeCounts.generations).toBe(generations);
  });

  it("that fails to load, or loops then, leaves nothing behind", async () => {
    const before = workerCounts.started - workerCounts.joined;
    await expect(model(THREAD, "throw new Error('no')")).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: "m.ts:1: no",
    });
    await files.write("m.ts", "for (;;);");
    const load = loadRuntime("module", spec(files.root), { module: "./m.ts" }, THREAD, overdue(300));
    await expect(load).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(workerCounts.started - workerCounts.joined).toBe(before);
  });

  it("whose load was given up frees what that loaded after all, before its thread ends", async () => {
    await files.write(
      "late.ts",
      `import { writeFileSync } from "node:fs";
      const options = { shape: {}, safeParse: (data: unknown) => ({ success: true, data }) };
      async function load(model: { folder: string }) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        const write = () => writeFileSync(model.folder + "/freed", "");
        return { async *streamTokens() {}, async [Symbol.asyncDispose]() { write() } };
      }
      export default { kind: "adapter", name: "late", options, load };`,
    );
    const load = loadAdapter("./late.ts", spec(files.root), {}, THREAD, overdue(100));
    await expect(load).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(existsSync(files.path("freed"))).toBe(true);
  });
});

describe("several workers", () => {
  it("share the requests, the one with the least to do first", async () => {
    await using runtime = await model({ extra: { workers: 2 } });
    const places = await Promise.all([answer(runtime, "where"), answer(runtime, "where")]);
    expect(new Set(places.map(([thread]) => thread)).size).toBe(2);
  });

  it("go on while one of them is started again", async () => {
    await using runtime = await model({ extra: { workers: 2 } });
    await expect(answer(runtime, "die")).rejects.toThrow("broke off");
    expect(runtime.ready?.()).toBe(true);
    expect(await answer(runtime, "count")).toEqual([1]);
  });
});

describe("a model in a process", () => {
  it("answers from there, and may be killed", async () => {
    await using runtime = await model(PROCESS);
    const [thread, pid] = await answer(runtime, "where");
    expect(thread).toBe(0);
    expect(pid).not.toBe(process.pid);
    await expect(answer(runtime, "kill")).rejects.toThrow("broke off: its process ended with SIGKILL");
    const [, next] = await answer(runtime, "where");
    expect([pid, process.pid]).not.toContain(next);
    await expect(answer(runtime, "timer")).rejects.toThrow("from a timer");
  });

  it("that hangs is killed at its deadline", async () => {
    await using runtime = await model(PROCESS);
    await expect(answer(runtime, "loop", overdue(50))).rejects.toMatchObject({ code: "DEADLINE_EXCEEDED" });
    expect(await answer(runtime, "count").catch(() => answer(runtime, "count"))).toEqual([1]);
  });
});
