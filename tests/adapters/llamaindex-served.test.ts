import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dataOf } from "../support/scripted-llm.ts";
import { SAMPLES, serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer;
beforeAll(async () => {
  repository = await TestRepository.create();
  for (const sample of ["docs", "embedder", "tiny-chat"]) await repository.addSample(sample);
  server = await serve(repository.root);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

interface Answer {
  readonly choices: readonly [{ readonly message: { readonly content: string } }];
  readonly usage: { readonly prompt_tokens: number };
}

async function asked(content: string): Promise<Answer> {
  const body = { model: "docs", max_tokens: 8, messages: [{ role: "user", content }] };
  return (await server.post("/v1/chat/completions", body)).body as Answer;
}

const first = (text: string) => /\n\n\[1\] (.+)\n\[2\] .+$/.exec(text)?.[1];

describe("the sample docs", () => {
  it("is listed and ready before anything of it is loaded", async () => {
    const { body } = await server.get("/v1/models");
    expect((body as { data: { id: string }[] }).data.map(({ id }) => id)).toEqual([
      "docs",
      "embedder",
      "tiny-chat",
    ]);
    expect((await server.get("/v2/models/docs/ready")).status).toBe(200);
    expect((await server.get("/readyz")).status).toBe(200);
    // LlamaIndex leaves this mark when it is imported.
    expect(globalThis).not.toHaveProperty("__ $@llamaindex/env$ __");
  });

  it.each([
    ["How do I start the server?", "starting.md"],
    ["Are requests lost when I replace a model?", "reloading.md"],
    ["How do I write an adapter plugin?", "plugins.md"],
    ["Which datatypes do tensors have?", "tensors.md"],
    ["What happens to a stream when the client cancels?", "streaming.md"],
    ["Can I use the OpenAI SDK?", "openai.md"],
    ["How are conversations remembered in a session?", "memory.md"],
    ["Where does Prometheus read the metrics?", "metrics.md"],
  ])("finds what answers %j", async (question, file) => {
    const { choices, usage } = await asked(question);
    expect(first(choices[0].message.content)).toBe(file);
    expect(usage.prompt_tokens).toBeGreaterThan(100);
  });

  it("streams its answer, the citations last", async () => {
    const response = await server.request("/v1/stream", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "docs", prompt: "How do I write an adapter plugin?", max_tokens: 8 }),
    });
    const events = dataOf(await response.text()) as { token?: string; done?: boolean }[];
    const tokens = events.flatMap(({ token }) => token ?? []);
    expect(tokens.length).toBeGreaterThan(2);
    expect(tokens.at(-1)).toMatch(/^\n\n\[1\] plugins\.md\n/);
    expect(events.at(-1)).toMatchObject({ done: true });
  });

  it("has the storage that build.ts makes of its texts", async () => {
    await using built = { path: await mkdtemp(join(tmpdir(), "capstan-docs-")), [Symbol.asyncDispose]: gone };
    const folder = join(SAMPLES, "docs");
    await promisify(execFile)(process.execPath, [join(folder, "build.ts"), server.url, built.path]);
    for (const name of ["doc_store.json", "index_store.json", "vector_store.json"]) {
      const [made, committed] = await Promise.all(
        [built.path, join(folder, "storage")].map((path) => readFile(join(path, name), "utf8")),
      );
      expect(made === committed, `${name} is not up to date: run model-settings/docs/build.ts`).toBe(true);
    }
    async function gone(this: { path: string }) {
      await rm(this.path, { recursive: true });
    }
  });
});

describe("the sample embedder", () => {
  const embed = async (input: readonly string[]) => {
    const { body } = await server.post("/v1/embeddings", {
      model: "embedder",
      input,
      encoding_format: "float",
    });
    return (body as { data: { embedding: number[] }[] }).data.map(({ embedding }) => embedding);
  };
  const near = (a: number[], b: number[]) => a.reduce((sum, value, place) => sum + value * b[place]!, 0);

  it("gives vectors of 256 numbers and length 1, the same for the same text", async () => {
    const [one, two, empty] = await embed(["A model server", "A model server", "?!"]);
    expect(one).toHaveLength(256);
    expect(one).toEqual(two);
    expect(near(one!, one!)).toBeCloseTo(1, 5);
    expect(new Set(empty)).toEqual(new Set([0]));
  });

  it("puts texts near each other that share words, in any form", async () => {
    const [text, form, other] = await embed(["loading models", "the model is loaded", "rivers and trees"]);
    expect(near(text!, form!)).toBeGreaterThan(0.4);
    expect(Math.abs(near(text!, other!))).toBeLessThan(0.2);
    const [whole, common] = await embed(["What is it?", "what is it"]);
    expect(near(whole!, common!)).toBeCloseTo(1, 5);
  });

  it("writes no text", async () => {
    const body = { model: "embedder", messages: [{ role: "user", content: "Hello" }] };
    expect(await server.post("/v1/chat/completions", body)).toMatchObject({
      status: 501,
      body: { error: { message: "Model 'embedder' gives embeddings and writes no text" } },
    });
  });
});

describe("a server whose models use each other", () => {
  it("says which embedding model is missing, or is none", async () => {
    await using other = await TestRepository.create();
    await cp(join(SAMPLES, "docs"), other.path("docs"), { recursive: true });
    await other.addSample("dummy-model");
    const settings = (name: string, embed: string, lazy: boolean) => ({
      name,
      implementation: "llm",
      parameters: {
        uri: "../docs",
        extra: { framework: "llamaindex", llm: "capstan:dummy-model", embed: `capstan:${embed}`, lazy },
      },
    });
    await other.remove("docs/model-settings.json");
    await other.write("lost", settings("lost", "nobody", false));
    await other.write("mute", settings("mute", "dummy-model", true));
    await using running = await serve(other.root);
    const { body } = await running.post("/v2/repository/index");
    expect(body).toContainEqual(
      expect.objectContaining({ name: "lost", reason: expect.stringContaining("embed 'capstan:nobody'") }),
    );
    const request = { model: "mute", messages: [{ role: "user", content: "Hello" }] };
    expect(await running.post("/v1/chat/completions", request)).toMatchObject({
      status: 503,
      body: {
        error: { message: expect.stringMatching(/embed 'capstan:dummy-model': .* does not make embeddings/) },
      },
    });
  });
});
