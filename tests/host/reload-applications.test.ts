import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ModelDetails } from "../../src/host/types.ts";
import { eventually } from "../support/eventually.ts";
import { Talker } from "../support/recall.ts";
import { type Files, TestRegistry } from "../support/registry.ts";
import { SAMPLES, serve, TestRepository, type TestServer } from "../support/server.ts";

let registry: TestRegistry;
let repository: TestRepository;
let server: TestServer;
beforeEach(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

/** The artifact of a sample: its files but the settings. */
async function filesOf(sample: string): Promise<Files> {
  const root = join(SAMPLES, sample);
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const own = paths.filter((path) => !path.endsWith("model-settings.json"));
  return Object.fromEntries(
    await Promise.all(own.map(async (path) => [relative(root, path), await readFile(path)] as const)),
  );
}

/** With words of one file replaced. */
const edited = (files: Files, path: string, from: string, to: string): Files => {
  const text = Buffer.from(files[path]!).toString();
  expect(text).toContain(from);
  return { ...files, [path]: Buffer.from(text.replaceAll(from, to)) };
};

/** Serves a sample from the registry, in two versions; the other samples are folders. */
async function start(sample: string, versions: readonly [Files, Files], others: readonly string[] = []) {
  const text = await readFile(join(SAMPLES, sample, "model-settings.json"), "utf8");
  const { extra } = (JSON.parse(text) as { parameters: { extra: object } }).parameters;
  for (const other of others) await repository.addSample(other);
  [registry.contents["1"], registry.contents["2"]] = versions;
  const settings = registry.settings(sample, { ...extra, source: { trust_code: true } });
  await repository.write(sample, { ...settings, implementation: "llm" });
  server = await serve(repository.root);
}

async function promote(model: string): Promise<void> {
  registry.aliases.champion = "2";
  await eventually(async () => {
    const { models } = (await server.get("/admin/models")).body as { models: ModelDetails[] };
    const own = models.filter(({ name }) => name === model);
    return own.length === 1 && own[0]!.version === "2" && own[0]!.state === "READY";
  });
}

/** How often a model was asked. */
async function asked(model: string): Promise<number> {
  const { body } = await server.get(`/v2/models/${model}/stats`);
  const { model_stats } = body as { model_stats: [{ inference_stats: { success: { count: number } } }] };
  return Number(model_stats[0].inference_stats.success.count);
}

/** Reads the beginning of an answer, does `meanwhile`, and gives the whole text. */
async function during(model: string, content: string, meanwhile: () => Promise<void>): Promise<string> {
  const response = await server.request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, stream: true, messages: [{ role: "user", content }] }),
  });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  await meanwhile();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) text += chunk.value;
  return text;
}

describe("an application in a registry, promoted while it answers", () => {
  it("LlamaIndex: the index is read as it is stored, and not made anew", async () => {
    const files = await filesOf("docs");
    const renamed = edited(files, "storage/doc_store.json", "starting.md", "beginning.md");
    const vectors = edited(renamed, "storage/vector_store.json", "starting.md", "beginning.md");
    const next = edited(vectors, "storage/index_store.json", "starting.md", "beginning.md");
    await start("docs", [files, next], ["embedder", "tiny-chat"]);
    const talker = new Talker(server, "docs");
    const question = "How do I start the server?";
    expect(await talker.says(question)).toContain("[1] starting.md");
    const before = await asked("embedder");
    const text = await during("docs", question, () => promote("docs"));
    expect(text).toContain("[1] starting.md");
    expect(text).toContain("[DONE]");
    expect(await asked("embedder")).toBe(before + 1);
    expect(await talker.says(question)).toContain("[1] beginning.md");
    expect(await asked("embedder")).toBe(before + 2);
  });

  it("LangChain: the new graph answers, and sessions go on", async () => {
    const files = await filesOf("support");
    await start("support", [files, edited(files, "orders.json", "Oslo", "Rome")], ["tiny-chat"]);
    const talker = new Talker(server, "support");
    expect(await talker.says("Where is order 1001?", "s")).toContain("Oslo");
    const text = await during("support", "Where is order 1001?", () => promote("support"));
    expect(text).toContain("[DONE]");
    expect(await talker.says("And where is the order?", "s")).toContain("Rome");
    expect(await talker.turns("s")).toHaveLength(2);
  });

  it("a crew: the new one asks for its own inputs", async () => {
    const files = await filesOf("research");
    await start("research", [files, edited(files, "crew.jsonc", "{topic}", "{subject}")], ["tiny-chat"]);
    const inputs = async () => (await server.get("/v2/models/research/inputs")).body;
    expect(await inputs()).toEqual({ inputs: ["topic"] });
    const text = await during("research", "model servers", () => promote("research"));
    expect(text).toContain("[DONE]");
    expect(text).not.toContain("error");
    // The agents still speak of the topic.
    expect(await inputs()).toEqual({ inputs: ["topic", "subject"] });
  });

  it("GGUF: the answers go on, and say the version they are of", async () => {
    const files = await filesOf("tiny-chat");
    await start("tiny-chat", [files, { ...files, "notes.txt": Buffer.from("another") }]);
    const inputs = [{ name: "text_input", datatype: "BYTES", shape: [1], data: ["Hello"] }];
    const version = async () =>
      ((await server.post("/v2/models/tiny-chat/infer", { inputs })).body as { model_version: string })
        .model_version;
    expect(await version()).toBe("1");
    expect(await during("tiny-chat", "Hello", () => promote("tiny-chat"))).toContain("[DONE]");
    expect(await version()).toBe("2");
  });
});
