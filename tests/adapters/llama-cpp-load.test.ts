import { readFileSync } from "node:fs";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ggufFile } from "../../adapters/llama-cpp/artifact.ts";
import llama from "../../adapters/llama-cpp/index.ts";
import { importLibrary } from "../../adapters/llama-cpp/library.ts";
import { type CapLLM, type Embeddings, type ModelSpec, vectorsOf } from "../../src/contracts/index.ts";
import { testCall, testHost } from "../../src/testing/index.ts";
import { withMetadata } from "../support/gguf.ts";
import { answer, ask, CASES, textOf, tinyChat } from "../support/tiny-chat.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-gguf-"));
});
afterAll(() => rm(folder, { recursive: true }));

const gguf = readFileSync(tinyChat().artifact!);

async function file(name: string, bytes: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
}

async function load(spec: ModelSpec, options: object = {}): Promise<CapLLM> {
  const parsed = llama.options.safeParse({ device: "cpu", ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return llama.load(spec, parsed.data, testHost(), testCall());
}

const fails = (spec: ModelSpec, message: RegExp, options: object = {}) =>
  expect(load(spec, options)).rejects.toMatchObject({
    code: "LOAD_FAILED",
    message: expect.stringMatching(message),
  });

describe("artifact", () => {
  it("may be a folder with one file, or the first part of several", async () => {
    const model = await mkdtemp(join(folder, "one-"));
    await cp(tinyChat().artifact!, join(model, "any.gguf"));
    await using llm = await load(tinyChat(model));
    expect(textOf(await answer(llm, ask("What is the V2 inference protocol?")))).toBe(CASES[0]!.text);
    const split = await mkdtemp(join(folder, "split-"));
    for (const part of [1, 2]) await writeFile(join(split, `any-0000${part}-of-00002.gguf`), gguf);
    expect(await ggufFile(tinyChat(split))).toBe(join(split, "any-00001-of-00002.gguf"));
  });

  it("must be there, be one, and be GGUF", async () => {
    await fails({ name: "m", version: "1", folder }, /parameters\.uri is missing/);
    await fails(tinyChat(await mkdtemp(join(folder, "empty-"))), /there is no \.gguf file in/);
    await fails(tinyChat(await file("pointer.gguf", "version https://git-lfs")), /not a GGUF file/);
    await fails(
      tinyChat(await file("short.gguf", gguf.subarray(0, 600_000))),
      /cannot load .*not within the file/,
    );
    const two = await mkdtemp(join(folder, "two-"));
    for (const name of ["a.gguf", "b.gguf"]) await writeFile(join(two, name), gguf);
    await fails(tinyChat(two), /a\.gguf, b\.gguf: let parameters\.uri name one/);
  });
});

describe("options", () => {
  it("may bring another chat template", async () => {
    const shout =
      "{% for m in messages %}{{ '<|im_start|>user\nCount to 20.<|im_end|>\n' }}{% endfor %}" +
      "{{ '<|im_start|>assistant\n' }}";
    await using llm = await load(tinyChat(), { chat_template: shout });
    expect(textOf(await answer(llm, ask("Hello")))).toMatch(/^1, 2, 3, 4, 5, 6, 7/);
  });

  it("refuse a template that is not Jinja", async () => {
    await fails(tinyChat(), /chat template is not understood/, { chat_template: "{% for %}" });
  });

  it("blame the messages that a template refuses", async () => {
    await using llm = await load(tinyChat(), {
      chat_template: "{{ raise_exception('roles must alternate') }}",
    });
    const message = expect.stringContaining("roles must alternate");
    await expect(answer(llm, ask("Hello"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message });
  });

  it("give templates the calls of tools and their answers", async () => {
    const chat_template =
      "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}={{ c.function.arguments.x }}" +
      "{% endfor %}{{ m.tool_call_id }}{{ m.name }};{% endfor %}";
    await using llm = await load(tinyChat(), { chat_template });
    const toolCalls = [{ id: "1", name: "f", arguments: '{"x": 5}' }];
    const messages = [
      { role: "assistant", content: "", toolCalls },
      { role: "tool", content: "", toolCallId: "1", name: "f" },
    ] as const;
    const parts = await answer(llm, { messages, sampling: { maxTokens: 0 } });
    const tokens = await llm.tokenize!("f=5;1f;", testCall());
    expect(parts.at(-1)).toMatchObject({ usage: { inputTokens: tokens.length } });
  });

  it("name a device that this machine has no build for", async () => {
    const device = process.platform === "darwin" ? "cuda" : "metal";
    await fails(tinyChat(), new RegExp(`no build of llama.cpp for device '${device}'.*device "auto"`), {
      device,
    });
  });
});

describe("a file without a chat template", () => {
  it("continues prompts and refuses messages", async () => {
    const key = Buffer.from("tokenizer.chat_template");
    const bytes = Buffer.from(gguf);
    bytes.write("tokenizer.chat_tEMPLATE", bytes.indexOf(key));
    await using llm = await load(tinyChat(await file("base.gguf", bytes)));
    const { prompt, text } = CASES[0]!;
    expect(textOf(await answer(llm, { prompt, sampling: {} }))).toBe(text);
    const message = expect.stringMatching(/has no chat template: send a prompt/);
    await expect(answer(llm, ask("Hello"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message });
  });
});

describe("a file that is made for embeddings", () => {
  const embedder = async (options: object = {}) =>
    load(tinyChat(await file("embed.gguf", withMetadata(gguf, { "llama.pooling_type": 1 }))), options);

  it("gives a vector of length 1 for each text", async () => {
    await using llm = await embedder();
    const [a, b, again] = vectorsOf(await llm.embed!(["hello", "the V2 protocol", "hello"], testCall()));
    expect(a).toHaveLength(128);
    expect(Math.hypot(...a!)).toBeCloseTo(1, 5);
    expect(again).toEqual(a);
    expect(b).not.toEqual(a);
    expect((await llm.tokenize!("What", testCall())).length).toBe(1);
  });

  it("says how many tokens it read, those that it puts around a text included", async () => {
    await using llm = await embedder();
    const texts = ["hello", "the V2 protocol"];
    const { inputTokens } = (await llm.embed!(texts, testCall())) as Embeddings;
    const counts = await Promise.all(texts.map((text) => llm.tokenize!(text, testCall())));
    for (const [place, count] of inputTokens.entries())
      expect(count - counts[place]!.length).toBeOneOf([0, 1, 2]);
  });

  it("leaves the length alone when told so", async () => {
    await using llm = await embedder({ normalize: false });
    const [vector] = vectorsOf(await llm.embed!(["hello"], testCall()));
    expect(Math.hypot(...vector!)).toBeGreaterThan(1.01);
  });

  it("writes no text, and refuses what it cannot embed", async () => {
    await using llm = await embedder();
    await expect(answer(llm, ask("Hello"))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    for (const text of ["", "a b ".repeat(2000)]) {
      await expect(llm.embed!([text], testCall())).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        param: "input",
      });
    }
  });

  it("stops when aborted, and after it is unloaded", async () => {
    const llm = await embedder();
    const controller = new AbortController();
    const reason = new Error("gone");
    const work = llm.embed!(["one", "two"], testCall({ signal: controller.signal }));
    controller.abort(reason);
    await expect(work).rejects.toBe(reason);
    await llm[Symbol.asyncDispose]();
    await expect(llm.embed!(["one"], testCall())).rejects.toMatchObject({ code: "NOT_READY" });
  });

  it("is refused when it is a reranker", async () => {
    const bytes = withMetadata(gguf, { "llama.pooling_type": 4 });
    await fails(tinyChat(await file("rank.gguf", bytes)), /reranker/);
  });
});

describe("node-llama-cpp", () => {
  it.each([
    ["missing", { code: "ERR_MODULE_NOT_FOUND" }, /npm install node-llama-cpp/],
    ["broken", { message: "no such symbol" }, /does not load: no such symbol/],
  ])("that is %s is a load error that says so", async (_what, fault, message) => {
    const load = importLibrary(tinyChat(), () => Promise.reject(Object.assign(new Error(), fault)));
    await expect(load).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });
});
