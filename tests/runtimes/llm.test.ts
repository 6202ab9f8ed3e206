import { describe, expect, it, vi } from "vitest";
import echo from "../../adapters/echo.ts";
import llm from "../../runtimes/llm/index.ts";
import {
  CapstanError,
  type InferRequest,
  type InferResponse,
  type Parameters,
  type Tensor,
  textOf,
  textTensor,
} from "../../src/contracts/index.ts";
import { checkRequest } from "../../src/host/check-request.ts";
import { collect, runtimeContract, testCall, testHost } from "../../src/testing/index.ts";
import { finish, held, open, openWith, SPEC, scripted, text } from "./llm-fakes.ts";

const infer = (values: readonly string[], parameters: Parameters = {}, name = "text_input"): InferRequest => {
  return { parameters, inputs: [textTensor(name, values)] };
};

const echoHost = testHost({
  adapter: (name, model, options, call) => {
    const parsed = echo.options.safeParse(options);
    if (!parsed.success) throw new CapstanError("LOAD_FAILED", `${name}: ${parsed.error.issues[0]?.message}`);
    return echo.load(model, parsed.data, echoHost, call);
  },
});

describe.each([
  { framework: "echo" },
  { framework: "echo", lazy: true, idle_unload: "1ms" },
  { framework: "echo", idle_unload: "10m", delay_ms: 1 },
])("contract with %j", (options) => {
  const cases = runtimeContract(llm, {
    options,
    host: echoHost,
    model: () => SPEC,
    request: () => infer(["one two", "three"]),
    streamRequest: () => infer(["one two three"]),
    badRequest: () => infer(["one"], { temperature: 3 }),
  });
  // Keys that are not the runtime's are the adapter's, which refuses those it does not know.
  for (const { name, run } of cases.filter((each) => each.name !== "refuses an unknown option by name"))
    it(name, run);
});

const openEcho = (options: Record<string, unknown> = {}) =>
  openWith((rest, call) => echoHost.adapter("echo", SPEC, rest, call), options);

/** The outputs of an answer as plain values. */
function values({ outputs }: InferResponse): Record<string, unknown> {
  const plain = ({ datatype, data }: Tensor) =>
    datatype === "BYTES" ? textOf(data as Uint8Array[]) : [...(data as Int32Array)];
  return Object.fromEntries(outputs.map((output) => [output.name, plain(output)]));
}

async function ask(request: InferRequest): Promise<Record<string, unknown>> {
  await using runtime = await openEcho();
  return values(await runtime.infer(checkRequest(runtime, request), testCall()));
}

const conversation = (...messages: unknown[]) => JSON.stringify(messages);

describe("options", () => {
  it("go to the adapter unless they are the runtime's", async () => {
    const adapter = vi.fn(() => scripted([finish()]));
    const own = { sampling: { top_k: 5 }, max_output: 9, lazy: false, idle_unload: "5m" };
    await using _ = await openWith(adapter, { ...own, base_url: "x", retries: 2 });
    expect(adapter).toHaveBeenCalledWith({ base_url: "x", retries: 2 }, expect.anything());
  });

  it.each([
    [{}, "framework"],
    [{ framework: "echo", sampling: { temperature: 3 } }, "sampling.temperature"],
    [{ framework: "echo", sampling: { tempreature: 1 } }, "sampling"],
    [{ framework: "echo", idle_unload: "soon" }, "idle_unload"],
    [{ framework: "echo", idle_unload: "25d" }, "idle_unload"],
    [{ framework: "echo", max_output: 5, sampling: { max_tokens: 6 } }, "sampling.max_tokens"],
  ])("%j: refuses %s", (options, path) => {
    const result = llm.options.safeParse(options);
    expect(result.success ? [] : result.error.issues.map((issue) => issue.path.join("."))).toEqual([path]);
  });

  it("warns that a signature in the settings has no effect", async () => {
    const warn = vi.fn();
    const call = testCall({ log: { ...testCall().log, warn } });
    const inputs = [{ name: "args", datatype: "BYTES", shape: [-1] }] as const;
    const options = { framework: "echo", sampling: {}, lazy: true };
    await using runtime = await llm.load({ ...SPEC, inputs }, options, echoHost, call);
    expect(runtime.inputs?.map(({ name }) => name)).toEqual(["text_input", "messages"]);
    expect(warn).toHaveBeenCalledOnce();
  });
});

describe("infer", () => {
  it.each(["text_input", "prompt", "args"])(
    "answers each element of %s as a user's message",
    async (name) => {
      expect(await ask(infer(["one", "two"], {}, name))).toEqual({ text_output: ["Echo: one", "Echo: two"] });
    },
  );

  it("takes columns, and no element at all", async () => {
    const column = { parameters: {}, inputs: [textTensor("prompt", ["one", "two"], [2, 1])] };
    expect(await ask(column)).toEqual({ text_output: ["Echo: one", "Echo: two"] });
    expect(await ask(infer([]))).toEqual({ text_output: [] });
  });

  it("takes conversations in OpenAI's form", async () => {
    const long = conversation(
      { role: "developer", content: "be kind" },
      { role: "user", content: "first", name: "ann" },
      { role: "assistant", content: null, tool_calls: [toolCall] },
      { role: "tool", tool_call_id: "c1", content: "4" },
      {
        role: "user",
        content: [
          { type: "text", text: "second" },
          { type: "image_url", image_url: {} },
        ],
      },
    );
    const adapter = scripted([text("ok"), finish()]);
    await using runtime = await open(adapter);
    await runtime.infer(infer([long], { session_id: "s" }, "messages"), testCall());
    expect(adapter.trace.requests).toEqual([
      {
        messages: [
          { role: "system", content: "be kind" },
          { role: "user", content: "first", name: "ann" },
          {
            role: "assistant",
            content: "",
            toolCalls: [{ id: "c1", name: "add", arguments: "{}" }],
          },
          { role: "tool", content: "4", toolCallId: "c1" },
          {
            role: "user",
            content: [
              { type: "text", text: "second" },
              { type: "image_url", image_url: {} },
            ],
          },
        ],
        sampling: {},
        session: "s",
      },
    ]);
  });
  const toolCall = { id: "c1", type: "function", function: { name: "add", arguments: "{}" } };

  it("gives the outputs asked for, and only the text by default", async () => {
    const outputs = ["output_tokens", "finish_reason", "text_output", "input_tokens"].map((name) => ({
      name,
    }));
    expect(await ask({ ...infer(["a b c", "d"], { max_tokens: 2 }), outputs })).toEqual({
      text_output: ["Echo: a", "Echo: d"],
      finish_reason: ["length", "stop"],
      input_tokens: [3, 1],
      output_tokens: [2, 2],
    });
    expect(await ask({ ...infer(["a"]), outputs: [] })).toEqual({ text_output: ["Echo: a"] });
  });

  it("reads sampling settings from the parameters, and leaves others alone", async () => {
    const settings = {
      ...{ max_tokens: 5, temperature: 0, top_p: 0.5, top_k: 3, min_p: 0.1, seed: 4 },
      ...{ frequency_penalty: 1, presence_penalty: -1, repetition_penalty: 1.1 },
    };
    const adapter = scripted([text("ok"), finish()]);
    await using runtime = await open(adapter);
    for (const stop of ["end", '["end", "[1"]', "[1", '{"a": 1}'])
      await runtime.infer(infer(["x"], { ...settings, stop, timeout: 1000 }), testCall());
    const [first, ...others] = adapter.trace.requests.map(({ sampling }) => sampling);
    expect(first).toEqual({
      ...{ maxTokens: 5, temperature: 0, topP: 0.5, topK: 3, minP: 0.1, seed: 4, stop: ["end"] },
      ...{ frequencyPenalty: 1, presencePenalty: -1, repeatPenalty: 1.1 },
    });
    expect(others.map(({ stop }) => stop)).toEqual([["end", "[1"], ["[1"], ['{"a": 1}']]);
  });

  it.each([
    ["no input", { parameters: {}, inputs: [] }, "no input"],
    [
      "both forms",
      { parameters: {}, inputs: [textTensor("prompt", ["a"]), textTensor("messages", ["[]"])] },
      "text_input and messages",
    ],
    ["another input", { parameters: {}, inputs: [textTensor("question", ["a"])] }, "'question'"],
    [
      "another datatype",
      { parameters: {}, inputs: [{ name: "prompt", datatype: "BOOL", shape: [1], data: Uint8Array.of(1) }] },
      "BOOL",
    ],
    [
      "bytes that are not text",
      {
        parameters: {},
        inputs: [{ name: "prompt", datatype: "BYTES", shape: [1], data: [Uint8Array.of(0xff)] }],
      },
      "element 0 is not UTF-8",
    ],
    [
      "bad JSON",
      infer([conversation({ role: "user", content: "x" }), "{"], {}, "messages"),
      "element 1 is not JSON",
    ],
    ["no list", infer(["{}"], {}, "messages"), "element 0: the JSON: expected array"],
    ["no messages", infer(["[]"], {}, "messages"), "must have at least one message"],
    [
      "an unknown role",
      infer([conversation({ role: "user", content: "" }, { role: "robot" })], {}, "messages"),
      "element 0: [1].role: must be one of system",
    ],
    [
      "bad content",
      infer([conversation({ role: "user", content: 4 })], {}, "messages"),
      "[0].content: must be a text",
    ],
    [
      "a bad text part",
      infer([conversation({ role: "user", content: [{ type: "text" }] })], {}, "messages"),
      "[0].content",
    ],
    ["a bad parameter", infer(["a"], { top_p: 0 }), "'top_p' is 0; it must be a number above 0, at most 1"],
    [
      "a huge seed",
      infer(["a"], { seed: 2n ** 63n }),
      "'seed' is 9223372036854775808; it must be an integer",
    ],
    ["a bad list of stops", infer(["a"], { stop: "[1]" }), "'stop' is [1]; it must be at most 16 texts"],
    ["a session that is no text", infer(["a"], { session_id: true }), "'session_id' is true"],
  ] as readonly [string, InferRequest, string][])("refuses %s", async (_what, request, message) => {
    const adapter = scripted([finish()]);
    await using runtime = await open(adapter);
    const work = runtime.infer(request, testCall());
    await expect(work).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
    expect(adapter.trace.requests).toEqual([]);
  });

  it("answers the prompts of a batch at the same time, and ends all when one fails", async () => {
    const reasons: unknown[] = [];
    const failure = new CapstanError("UPSTREAM", "gone");
    const gate = Promise.withResolvers<void>();
    const adapter = scripted([], {
      async *streamTokens(request, { signal }) {
        if (request.messages?.[0]?.content === "bad") throw failure;
        const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        await Promise.race([gate.promise, aborted]);
        reasons.push(signal.reason);
        signal.throwIfAborted();
        yield text("ok");
        yield finish();
      },
    });
    await using runtime = await open(adapter);
    await expect(runtime.infer(infer(["a", "bad", "b"]), testCall())).rejects.toBe(failure);
    expect(reasons).toEqual([failure, failure]);
    const all = runtime.infer(infer(Array.from({ length: 40 }, () => "a")), testCall());
    gate.resolve();
    expect(values(await all).text_output).toHaveLength(40);
  });

  it("ends a batch with the caller's own reason", async () => {
    await using runtime = await open(held([text("x"), finish()], new Promise(() => {})));
    const controller = new AbortController();
    const work = runtime.infer(infer(["a", "b"]), testCall({ signal: controller.signal }));
    const reason = new Error("left");
    controller.abort(reason);
    await expect(work).rejects.toBe(reason);
  });
});

describe("inferStream", () => {
  const words = [text("one"), { type: "step", choice: 0, name: "tool" }, text(" two"), finish()] as const;

  it("gives a response for each token, and a last one that says how it ended", async () => {
    await using runtime = await open(scripted(words));
    const responses = await collect(runtime.inferStream!(infer(["hello"]), testCall()));
    expect(responses.map((each) => [values(each), each.parameters])).toEqual([
      [{ text_output: ["one"] }, undefined],
      [{ text_output: [" two"] }, undefined],
      [
        { text_output: [""] },
        { triton_final_response: true, finish_reason: "length", input_tokens: 7, output_tokens: 3 },
      ],
    ]);
  });

  it("has every output asked for in every response", async () => {
    await using runtime = await open(scripted(words));
    const outputs = [{ name: "text_output" }, { name: "finish_reason" }, { name: "output_tokens" }];
    const responses = await collect(runtime.inferStream!({ ...infer(["hello"]), outputs }, testCall()));
    expect(responses.map(values)).toEqual([
      { text_output: ["one"], finish_reason: [""], output_tokens: [0] },
      { text_output: [" two"], finish_reason: [""], output_tokens: [0] },
      { text_output: [""], finish_reason: ["length"], output_tokens: [3] },
    ]);
  });

  it.each([
    [["a", "b"], "has 2"],
    [[], "has none"],
  ])("refuses the prompts %j", async (prompts, message) => {
    await using runtime = await open(scripted(words));
    await expect(collect(runtime.inferStream!(infer(prompts), testCall()))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });

  it("stops the adapter when it is left", async () => {
    const adapter = scripted(words);
    await using runtime = await open(adapter);
    for await (const _ of runtime.inferStream!(infer(["hello"]), testCall())) break;
    expect(adapter.trace).toMatchObject({ read: 1, left: 1 });
  });
});
