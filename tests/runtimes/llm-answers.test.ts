import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  type CapLLM,
  type ChatRequest,
  type Completion,
  type Embeddings,
  foldParts,
  type Part,
} from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { ask, finish, open, scripted, seen, text, USAGE } from "./llm-fakes.ts";

const join = (parts: readonly Part[], choice = 0) =>
  parts.map((part) => (part.type === "text" && part.choice === choice ? part.text : "")).join("");

/** Tokens, then a finish that must not be reached when a stop sequence comes first. */
const tokens = (...values: string[]) => [...values.map((value) => text(value)), finish()];

describe("stop sequences", () => {
  it.each([
    ["in one token", ["a STOP b"], ["STOP"], "a "],
    ["across tokens", ["a S", "T", "OP b"], ["STOP"], "a "],
    ["at the start", ["ST", "OP"], ["STOP"], ""],
    ["that begins again", ["aab", "aab", "aac"], ["aabaac"], "aab"],
    ["the first of several", ["one t", "wo three"], ["three", "two"], "one "],
    ["the first that is complete", ["abc"], ["abcd", "b"], "a"],
    ["the longest of those complete at once", ["xabc"], ["bc", "abc"], "x"],
  ])("end an answer: %s", async (_what, values, stop, wanted) => {
    const adapter = scripted(tokens(...values, " more", " and more"));
    const parts = await seen(adapter, ask("hello", { stop }));
    expect(join(parts)).toBe(wanted);
    expect(parts.at(-1)).toMatchObject({ type: "finish", reason: "stop" });
    expect(adapter.trace).toMatchObject({ read: values.length, left: 1 });
  });

  it("hold back only what may be the start of one", async () => {
    const parts = await seen(scripted(tokens("a", "b S", "T", "x S")), ask("hello", { stop: ["STOP"] }));
    expect(parts).toEqual(
      [text("a"), text("b "), text("S"), text("T"), text("x "), text("S"), finish()].filter(Boolean),
    );
  });

  it("do not depend on where tokens begin", async () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "😀"), maxLength: 12 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "😀"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    await fc.assert(
      fc.asyncProperty(letters, stops, async (whole, stop) => {
        const units = Array.from({ length: whole.length }, (_, index) => whole.charAt(index));
        const [cut, once] = await Promise.all([
          seen(scripted(tokens(...units)), ask("x", { stop })),
          seen(scripted(tokens(whole)), ask("x", { stop })),
        ]);
        expect(join(cut)).toBe(join(once));
        expect(stop.some((each) => join(cut).includes(each))).toBe(false);
        for (const part of cut) expect(part.type !== "text" || part.text.isWellFormed()).toBe(true);
        if (stop.length === 0) expect(join(cut)).toBe(whole);
      }),
    );
  });

  it("count the tokens by the adapter's tokenizer where it has one", async () => {
    const tokenize = async (value: string) => Array.from(value, () => 1);
    const request = ask("héllo", { stop: ["x"] });
    const counted = await seen(scripted(tokens("ab", "cx", "d"), { tokenize }), request);
    expect(counted.at(-1)).toMatchObject({ usage: { inputTokens: 5, outputTokens: 4 } });
    const estimated = await seen(scripted(tokens("ab", "cx", "d")), request);
    expect(estimated.at(-1)).toMatchObject({ usage: { inputTokens: 2, outputTokens: 2 } });
  });

  it("count prompts, and the text of messages in parts", async () => {
    const tokenize = vi.fn(async () => [1]);
    const content = [{ type: "text", text: "look" }, { type: "image_url" }];
    const messages = [
      { role: "system", content: "be kind" },
      { role: "user", content },
    ] as const;
    const sampling = { stop: ["x"] };
    await seen(scripted(tokens("x"), { tokenize }), { messages, sampling });
    await seen(scripted(tokens("x"), { tokenize }), { prompt: "raw", sampling });
    expect(tokenize.mock.calls.map(([value]: unknown[]) => value)).toEqual([
      "be kind\nlook",
      "x",
      "raw",
      "x",
    ]);
  });

  it("end one choice while the others go on", async () => {
    const script = [text("a"), text("b", 1), text("STOP"), text("c", 1), text("z"), finish(0), finish(1)];
    const adapter = scripted(script);
    const parts = await seen(adapter, { ...ask("hello", { stop: ["STOP"] }), n: 2 });
    expect(parts.map(({ type, choice }) => `${type} ${choice}`)).toEqual([
      ...["text 0", "text 1", "finish 0", "text 1", "finish 1"],
    ]);
    expect(parts[2]).toMatchObject({ reason: "stop" });
    expect(parts[4]).toEqual(finish(1));
  });

  it("keep the logprobs with the text they are of", async () => {
    const token = (value: string, logprobs: unknown): Part => ({
      type: "text",
      choice: 0,
      text: value,
      logprobs,
    });
    const script = [token("aS", 1), token("T", 2), token("x", 3), token("", 4), finish()];
    expect(await seen(scripted(script), ask("hello", { stop: ["STOP"] }))).toEqual([
      token("a", 1),
      text("S"),
      token("T", 2),
      token("x", 3),
      token("", 4),
      finish(),
    ]);
  });
});

describe("text", () => {
  it("has no half characters", async () => {
    const parts = await seen(scripted(tokens("a\ud83d", "\ude00b", "\ud83d", "x", "", "\ud83d")));
    expect(parts).toEqual([text("a"), text("😀b"), text("\ufffdx"), finish()]);
  });
});

describe("the finish", () => {
  it.each([
    ["is missing", [text("a")], {}],
    ["is missing for one choice", [text("a"), finish(0)], { n: 2 }],
    ["is of a choice nobody asked for", [finish(1)], {}],
    ["has no whole number as its choice", [finish(0.5)], {}],
  ] as readonly [string, Part[], Partial<ChatRequest>][])(
    "that %s is UPSTREAM",
    async (_what, script, more) => {
      const work = seen(scripted(script), { ...ask("hello"), ...more });
      await expect(work).rejects.toMatchObject({
        code: "UPSTREAM",
        message: expect.stringContaining("'fake'"),
      });
    },
  );

  it("is the last part, and the only finish", async () => {
    const adapter = scripted([text("a"), finish(), text("b"), finish(), text("c")]);
    expect(await seen(adapter)).toEqual([text("a"), finish()]);
    expect(adapter.trace.left).toBe(1);
  });

  it("lets the adapter come to its own end", async () => {
    const ended = vi.fn();
    const adapter = scripted([], {
      async *streamTokens() {
        yield finish();
        ended();
      },
    });
    await seen(adapter);
    expect(ended).toHaveBeenCalledOnce();
  });

  it("leaves other parts as they are", async () => {
    const call = { id: "1", name: "f", arguments: "{}" };
    const script: Part[] = [
      { type: "reasoning", choice: 0, text: "hm" },
      { type: "step", choice: 0, name: "search", detail: { hits: 2 } },
      { type: "tool-call", choice: 0, call },
      finish(),
    ];
    expect(await seen(scripted(script))).toEqual(script);
  });
});

describe("an abort", () => {
  const reason = new Error("left");

  it("becomes the signal's reason, whatever the adapter throws", async () => {
    const controller = new AbortController();
    const adapter = scripted([], {
      // biome-ignore lint/correctness/useYield: it fails before its first part
      async *streamTokens() {
        controller.abort(reason);
        throw new DOMException("This operation was aborted", "AbortError");
      },
    });
    await using runtime = await open(adapter);
    const call = testCall({ signal: controller.signal });
    await expect(collect(runtime.llm.streamTokens(ask("x"), call))).rejects.toBe(reason);
  });

  it("is not taken for an answer by an adapter that ends in silence, or goes on", async () => {
    for (const script of [[text("a")], [text("a"), text("b"), finish()]]) {
      const controller = new AbortController();
      const adapter = scripted(script);
      await using runtime = await open(adapter);
      const read = async () => {
        const call = testCall({ signal: controller.signal });
        for await (const _ of runtime.llm.streamTokens(ask("x"), call)) controller.abort(reason);
      };
      await expect(read()).rejects.toBe(reason);
      expect(adapter.trace).toMatchObject({ read: 1, left: 1 });
    }
  });
});

describe("predictText", () => {
  const completion = (...texts: string[]): Completion => {
    const choices = texts.map((each) => ({ text: each, toolCalls: [], reason: "length" as const }));
    return { choices, usage: USAGE };
  };
  const predicting = (...texts: string[]) => scripted([], { predictText: async () => completion(...texts) });

  it("is held to the same rules", async () => {
    await using runtime = await open(predicting("a STOP b", "c\ud83d"));
    const request = { ...ask("x", { stop: ["STOP"] }), n: 2 };
    const { choices, usage } = await runtime.llm.predictText!(request, testCall());
    expect(choices.map(({ text: value, reason }) => [value, reason])).toEqual([
      ["a ", "stop"],
      ["c", "length"],
    ]);
    expect(usage).toEqual(USAGE);
    await expect(runtime.llm.predictText!(ask("x", { topP: 2 }), testCall())).rejects.toMatchObject({
      param: "top_p",
    });
    await expect(runtime.llm.predictText!(ask("x"), testCall())).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("is not promised by a lazy model, whose stream folds to the same", async () => {
    const call = { id: "1", name: "f", arguments: "{}" };
    const script: Part[] = [text("a"), text("x", 1), { type: "tool-call", choice: 0, call }, text("b")];
    await using runtime = await open(scripted([...script, finish(1), finish(0, "stop")]), { lazy: true });
    expect(runtime.llm.predictText).toBeUndefined();
    expect(await foldParts(runtime.llm.streamTokens({ ...ask("x"), n: 2 }, testCall()))).toEqual({
      choices: [
        { text: "ab", toolCalls: [call], reason: "stop" },
        { text: "x", toolCalls: [], reason: "length" },
      ],
      usage: { inputTokens: 7, outputTokens: 6 },
    });
  });
});

describe("capabilities", () => {
  const able: Partial<CapLLM> = {
    embed: async (texts) => texts.map(() => Float32Array.of(1)),
    tokenize: async () => [1, 2],
    passthrough: async (route, body) => Response.json({ route, body }, { status: 201 }),
  };
  const names = ["predictText", "embed", "tokenize", "passthrough"] as const;

  it("are those of the adapter", async () => {
    await using all = await open(scripted([], able));
    expect(names.filter((name) => all.llm[name] !== undefined)).toEqual(["embed", "tokenize", "passthrough"]);
    await using none = await open(scripted([]));
    expect(names.filter((name) => none.llm[name] !== undefined)).toEqual([]);
  });

  it.each([true, false])("work when lazy is %s", async (lazy) => {
    await using runtime = await open(scripted([], able), { lazy });
    expect(await runtime.llm.embed!(["a", "b"], testCall())).toEqual({
      vectors: [Float32Array.of(1), Float32Array.of(1)],
      inputTokens: [2, 2],
    });
    expect(await runtime.llm.tokenize!("a", testCall())).toEqual([1, 2]);
    const response = await runtime.llm.passthrough!("images", { n: 1 }, testCall());
    expect(response.status).toBe(201);
    expect(await response.json()).toEqual({ route: "images", body: { n: 1 } });
  });

  it("count the tokens of embeddings as the adapter does, else as its tokenizer does, else by length", async () => {
    const tokensOf = async (members: Partial<CapLLM>) => {
      await using runtime = await open(scripted([], members));
      const answer = (await runtime.llm.embed!(["a", "four or five"], testCall())) as Embeddings;
      return answer.inputTokens;
    };
    const vectors = [Float32Array.of(1), Float32Array.of(1)];
    expect(await tokensOf({ ...able, embed: async () => ({ vectors, inputTokens: [7, 8] }) })).toEqual([
      7, 8,
    ]);
    expect(await tokensOf(able)).toEqual([2, 2]);
    expect(await tokensOf({ embed: async () => vectors })).toEqual([1, 3]);
  });

  it("that a lazy model turns out to lack are UNSUPPORTED", async () => {
    await using runtime = await open(scripted([]), { lazy: true });
    const lacks = { code: "UNSUPPORTED", message: expect.stringContaining("Model 'chat' (fake)") };
    await expect(runtime.llm.embed!([], testCall())).rejects.toMatchObject(lacks);
    await expect(runtime.llm.tokenize!("", testCall())).rejects.toMatchObject(lacks);
    await expect(runtime.llm.passthrough!("images", {}, testCall())).rejects.toMatchObject(lacks);
  });
});
