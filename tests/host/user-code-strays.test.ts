import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import type { CapLLM, Part, Runtime } from "../../src/contracts/index.ts";
import { attributedLLM, attributedRuntime } from "../../src/host/user-code/attributed.ts";
import { userCodeCounts } from "../../src/host/user-code/counts.ts";
import { dealWithStray, type Owner, owns, runAs } from "../../src/host/user-code/strays.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { keptLog } from "../support/isolation.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** The model runs in the server's own thread. */
const CODE = `
import { textOf } from "capstan";
const forever = () => new Promise(() => {});
const acts = {
  ok: () => {},
  timer: () => { setTimeout(() => { throw new Error("from a timer") }); return forever() },
  rejection: () => { void (async () => { throw "bare" })(); return forever() },
  emitter: async () => {
    const { EventEmitter } = await import("node:events");
    setImmediate(() => new EventEmitter().emit("error", new Error("emitted")));
    return forever();
  },
  exit: () => process.exit(5),
  later: () => { setTimeout(() => { throw new Error("after the answer") }, 20) },
};
export default async ({ inputs: [x] }) => {
  await acts[textOf(x.data)[0]]();
  return { outputs: [{ name: "y", data: [1] }] };
};`;

let started: ChildProcess | undefined;
afterEach(() => void started?.kill("SIGKILL"));

/** A server of its own: what it does about an uncaught error concerns its whole process. */
async function server(files: Files) {
  const args = [MAIN, "start", files.root, "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  started = child;
  const texts: string[] = [];
  const ready = Promise.withResolvers<{ http: string; metrics: string }>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const entry = JSON.parse(line) as { msg: string; http: string; metrics: string };
    texts.push(entry.msg);
    if (entry.msg === "ready") ready.resolve(entry);
  });
  child.on("exit", (code) => ready.reject(new Error(`ended with ${code}`)));
  const { http, metrics } = await ready.promise;
  return {
    texts,
    async ask(what: string): Promise<number> {
      const inputs = [{ name: "x", datatype: "BYTES", shape: [1], data: [what] }];
      const body = JSON.stringify({ inputs });
      const headers = { "content-type": "application/json" };
      const response = await fetch(`http://${http}/v2/models/m/infer`, { method: "POST", headers, body });
      await response.text();
      return response.status;
    },
    metrics: async () => (await fetch(`http://${metrics}/metrics`)).text(),
    async stop(): Promise<number | null> {
      child.kill("SIGTERM");
      if (child.exitCode === null) await once(child, "exit");
      return child.exitCode;
    },
  };
}

describe("user code in the server's process", () => {
  it("never ends it: each error is logged, counted, and fails its request alone", async () => {
    await using files = await Files.create({
      "m/model-settings.json": { name: "m", implementation: "./m.ts" },
      "m/m.ts": CODE,
    });
    const { ask, metrics, stop, texts } = await server(files);
    const asked = ["timer", "rejection", "emitter", "exit", "later", "ok"];
    expect(await Array.fromAsync(asked, ask)).toEqual([500, 500, 500, 500, 200, 200]);
    const strays = () => texts.flatMap((text) => /threw outside of its answer(.*)/.exec(text)?.[1] ?? []);
    await expect
      .poll(strays)
      .toEqual([
        " at m.ts:6: from a timer",
        ": bare",
        " at m.ts:10: emitted",
        " at m.ts:14: after the answer",
      ]);
    expect(await ask("ok")).toBe(200);
    expect(await metrics()).toContain('capstan_user_code_stray_errors_total{model="m"} 4');
    expect(await stop()).toBe(0);
  });
});

describe("an error that nobody caught", () => {
  const owner = (): Owner & { lines: ReturnType<typeof keptLog>["lines"] } => {
    const { log, lines } = keptLog();
    return { model: "stray", folder: "/nowhere", log, hasCode: false, lines };
  };

  it("is the server's own where no model with code was at work", () => {
    expect(dealWithStray(new Error("ours"))).toBe(false);
    expect(runAs(owner(), () => dealWithStray(new Error("a plugin's")))).toBe(false);
  });

  it("is the model's whose code runs; its request fails", () => {
    const model = owner();
    owns(model);
    const before = userCodeCounts.failures.get("stray") ?? 0;
    const failed: unknown[] = [];
    const work = () => dealWithStray(new Error("x"));
    expect(runAs(model, work, (error) => failed.push(error))).toBe(true);
    expect(runAs(model, () => dealWithStray(5))).toBe(true);
    expect(failed).toEqual([
      expect.objectContaining({ code: "INTERNAL", message: "Model 'stray' failed: x" }),
    ]);
    expect(model.lines.map(({ text }) => text)).toEqual([
      "The code of model 'stray' threw outside of its answer: x",
      "The code of model 'stray' threw outside of its answer: 5",
    ]);
    expect(userCodeCounts.failures.get("stray")).toBe(before + 2);
  });

  const fault = new Error("void");
  const strays = () => new Promise<never>(() => setImmediate(() => dealWithStray(fault)));

  it("ends a runtime's answer, and aborts the work on it", async () => {
    const model = { ...owner(), hasCode: true };
    const signals: AbortSignal[] = [];
    let left = 0;
    const inner: Runtime = {
      platform: "p",
      inputs: [],
      outputs: [],
      parameters: { a: 1 },
      prepare: (request) => request,
      ready: () => false,
      infer: (_, { signal }) => {
        signals.push(signal);
        return strays();
      },
      async *inferStream(_, { signal }) {
        signals.push(signal);
        try {
          yield { outputs: [] };
          yield await strays();
        } finally {
          left += 1;
        }
      },
      async [Symbol.asyncDispose]() {
        left += 10;
      },
    };
    const runtime = attributedRuntime(inner, model);
    const request = { parameters: {}, inputs: [] };
    expect(runtime).toMatchObject({ platform: "p", inputs: [], outputs: [], parameters: { a: 1 } });
    expect([runtime.ready?.(), runtime.prepare?.(request)]).toEqual([false, request]);
    await expect(runtime.infer(request, testCall())).rejects.toThrow("Model 'stray' failed: void");
    await expect(collect(runtime.inferStream!(request, testCall()))).rejects.toThrow("void");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    for await (const _ of runtime.inferStream!(request, testCall())) break;
    expect(left).toBe(1);
    await runtime[Symbol.asyncDispose]();
    expect(left).toBe(11);
  });

  it("ends a language model's answer", async () => {
    const part: Part = { type: "text", choice: 0, text: "a" };
    const llm: CapLLM = {
      async *streamTokens() {
        yield part;
      },
      predictText: strays,
      embed: strays,
      tokenize: strays,
      passthrough: async () => new Response("x"),
      async [Symbol.asyncDispose]() {},
    };
    const inner: Runtime = { llm, infer: strays, async [Symbol.asyncDispose]() {} };
    const attributed = attributedRuntime(inner, { ...owner(), hasCode: true }).llm!;
    const request = { sampling: {} };
    expect(await collect(attributed.streamTokens(request, testCall()))).toEqual([part]);
    await expect(attributed.predictText!(request, testCall())).rejects.toThrow("void");
    await expect(attributed.embed!([], testCall())).rejects.toThrow("void");
    await expect(attributed.tokenize!("", testCall())).rejects.toThrow("void");
    expect(await (await attributed.passthrough!("/", {}, testCall())).text()).toBe("x");
    await attributed[Symbol.asyncDispose]();
    const bare = attributedLLM({ streamTokens: llm.streamTokens, async [Symbol.asyncDispose]() {} }, owner());
    expect(bare.predictText ?? bare.embed ?? bare.tokenize ?? bare.passthrough).toBeUndefined();
  });
});
