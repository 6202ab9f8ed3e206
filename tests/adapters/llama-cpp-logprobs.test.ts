import { afterAll, beforeAll, describe, expect, it } from "vitest";
import llama from "../../adapters/llama-cpp/index.ts";
import { TokenBytes } from "../../adapters/llama-cpp/token-bytes.ts";
import {
  type CapLLM,
  type ChatRequest,
  type CompletionChoice,
  CompletionFold,
} from "../../src/contracts/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";
import { answer, ask, CASES, textOf, tinyChat, user } from "../support/tiny-chat.ts";

interface Scored {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: number[] | null;
}
interface ChatEntry extends Scored {
  readonly top_logprobs: Scored[];
}
interface CompletionLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: number[];
  readonly top_logprobs: Readonly<Record<string, number>>[];
  readonly text_offset: number[];
}

let llm: CapLLM;
beforeAll(async () => {
  const parsed = llama.options.safeParse({ device: "cpu" });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  llm = await llama.load(tinyChat(), parsed.data, testHost(), testCall());
});
afterAll(() => llm[Symbol.asyncDispose]());

async function whole(request: ChatRequest): Promise<CompletionChoice> {
  const fold = new CompletionFold();
  for (const part of await answer(llm, request)) fold.add(part);
  return fold.finish().choices[0]!;
}

async function chat(content: string, top: number, sampling: ChatRequest["sampling"] = {}) {
  const choice = await whole({ ...ask(content, sampling), extra: { logprobs: true, top_logprobs: top } });
  return { ...choice, entries: (choice.logprobs as { content: ChatEntry[] }).content };
}

describe("chat", () => {
  it("has an entry for each token of the text, which make it up", async () => {
    const { text, entries } = await chat("What is the V2 inference protocol?", 3);
    expect(text).toBe(CASES[0]!.text);
    expect(entries.map(({ token }) => token).join("")).toBe(text);
    expect(entries.length).toBe(CASES[0]!.completion_tokens - 1);
    for (const { token, logprob, bytes, top_logprobs } of entries) {
      expect(logprob).toBeLessThanOrEqual(0);
      expect(Buffer.from(bytes!).toString()).toBe(token);
      expect(top_logprobs.length).toBe(3);
      expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
      expect(top_logprobs[1]!.logprob).toBeLessThanOrEqual(logprob);
    }
  });

  it("gives the model's own probabilities, whatever the sampling", async () => {
    const [plain] = (await chat("Hello", 20, { maxTokens: 1 })).entries;
    const sampling = { maxTokens: 1, temperature: 1.9, topK: 2, minP: 0.5, seed: 4, presencePenalty: 2 };
    const [sampled] = (await chat("Hello", 20, sampling)).entries;
    expect(sampled!.top_logprobs.map(({ token }) => token)).toEqual(
      plain!.top_logprobs.map(({ token }) => token),
    );
    for (const [rank, { logprob }] of sampled!.top_logprobs.entries())
      expect(logprob).toBeCloseTo(plain!.top_logprobs[rank]!.logprob, 3);
  });

  it("writes with them what it writes without", async () => {
    const sampling = { temperature: 1.5, topP: 1, topK: 0, seed: 7, maxTokens: 12 };
    const without = await whole(ask("Tell me something", sampling));
    expect((await chat("Tell me something", 0, sampling)).text).toBe(without.text);
    expect(without.logprobs).toBeUndefined();
  });

  it("has the bytes of tokens that are parts of a character", async () => {
    const messages = [user("Say 😀ä😀"), { role: "assistant", content: "😀ä😀" } as const, user("Say 😀ä😀")];
    const sampling = { temperature: 3, topP: 1, topK: 0, maxTokens: 40, seed: 3 };
    const choice = await whole({ messages, sampling, extra: { logprobs: true } });
    const { content } = choice.logprobs as { content: ChatEntry[] };
    expect(content.length).toBe(40);
    const bytes = Buffer.from(content.flatMap((entry) => entry.bytes!));
    expect(bytes.toString()).toContain(choice.text);
  });

  it("ends them where a stop sequence ends the text", async () => {
    const { text, entries } = await chat("What is the V2 inference protocol?", 0, { stop: [" standard"] });
    expect(entries.map(({ token }) => token).join("")).toBe(text);
  });

  it("sends them with the text that they are of", async () => {
    const parts = await answer(llm, { ...ask("Hello"), extra: { logprobs: true } });
    for (const part of parts) {
      if (part.type !== "text") continue;
      const { content } = part.logprobs as { content: ChatEntry[] };
      expect(content.map(({ token }) => token).join("")).toBe(part.text);
    }
    expect(textOf(parts)).not.toBe("");
  });

  it.each([{ logprobs: false }, { logprobs: null }, { logprobs: false, top_logprobs: 0 }])(
    "gives none for %j",
    async (extra) => {
      expect((await whole({ ...ask("Hello", { maxTokens: 2 }), extra })).logprobs).toBeUndefined();
    },
  );

  it.each([
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ logprobs: true, top_logprobs: 21 }, "top_logprobs"],
    [{ logprobs: 5 }, "logprobs"],
  ])("refuses %j", async (extra, param) => {
    await expect(whole({ ...ask("Hello"), extra })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      param,
    });
  });
});

describe("completions", () => {
  it("has the lists of OpenAI's completions", async () => {
    const { prompt, text } = CASES[0]!;
    const choice = await whole({ prompt, sampling: { maxTokens: 6 }, extra: { logprobs: 2 } });
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice.logprobs as CompletionLogprobs;
    expect(text.startsWith(choice.text)).toBe(true);
    expect(tokens.join("")).toBe(choice.text);
    expect(token_logprobs.length).toBe(6);
    expect(text_offset).toEqual(tokens.map((_, place) => tokens.slice(0, place).join("").length));
    for (const [place, top] of top_logprobs.entries()) {
      expect(Object.keys(top).length).toBe(2);
      expect(top[tokens[place]!]).toBe(token_logprobs[place]);
    }
  });

  it("has the token itself where no others are asked for", async () => {
    const choice = await whole({
      prompt: CASES[0]!.prompt,
      sampling: { maxTokens: 1 },
      extra: { logprobs: 0 },
    });
    const { tokens, top_logprobs } = choice.logprobs as CompletionLogprobs;
    expect(Object.keys(top_logprobs[0]!)).toEqual(tokens);
  });
});

describe("bytes", () => {
  const bytesOf = (model: string, tokens: string[]) =>
    new TokenBytes({ fileInfo: { metadata: { tokenizer: { ggml: { model, tokens } } } } } as never);

  it("are those of SentencePiece's own bytes, and null where nobody knows", () => {
    const pieces = bytesOf("llama", ["<0xF0>", "odd"]);
    expect(pieces.of(0 as never, "\uFFFD")).toEqual([0xf0]);
    expect(pieces.of(1 as never, "\uFFFD")).toBeNull();
    expect(pieces.of(9 as never, "\uFFFD")).toBeNull();
    expect(bytesOf("gpt2", ["漢"]).of(0 as never, "\uFFFD")).toBeNull();
  });
});
