import { describe, expect, it } from "vitest";
import llamaindex from "../../adapters/llamaindex/index.ts";
import openai from "../../adapters/openai/index.ts";
import {
  type Call,
  CapstanError,
  type ChatRequest,
  type Host,
  type ModelClient,
} from "../../src/contracts/index.ts";
import { adapterContract, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { abortable, loggedCall } from "../support/openai-adapter.ts";
import { chat, chunk, OpenaiUpstream, reply, stalls } from "../support/openai-upstream.ts";
import {
  ask,
  Counts,
  fixture,
  hostOf,
  load,
  MODELS,
  Speaker,
  says,
  spec,
  steps,
  textOf,
} from "./llamaindex-fakes.ts";

const folder = fixture("typescript");
const speaker = new Speaker("The dog is there.");
const host = hostOf(folder, { writer: speaker, counts: new Counts() });

for (const { name, run } of adapterContract(llamaindex, {
  options: MODELS,
  host,
  model: () => spec(folder),
  missing: () => spec(fixture("none")),
  request: () => says("river dog"),
  badRequest: () => ({ ...says("river dog"), n: 2 }),
  idle: async () => expect(speaker.closed).toBe(speaker.begun),
})) {
  it(name, run);
}

describe("an answer from storage", () => {
  it("is made from what was found, and names it before its finish", async () => {
    const writer = new Speaker("The dog.");
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }));
    const parts = await ask(llm, "river dog");
    expect(textOf(parts)).toBe("The dog.");
    const [sources] = steps(parts, "sources") as [{ text: string; score: number; metadata: object }[]];
    expect(sources.map(({ text }) => text)).toEqual([
      "A dog by the river.",
      "A tree. Another tree by the river.",
    ]);
    expect(sources[0]).toMatchObject({ score: expect.closeTo(1), metadata: { file_name: "1.txt" } });
    expect(parts.map(({ type }) => type)).toEqual(["text", "text", "step", "finish"]);
    expect(writer.requests[0]!.messages![0]!.content).toContain("A dog by the river.");
  });

  it("ends with the names of the sources where citations are asked for", async () => {
    const options = { ...MODELS, citations: true, top_k: 3 };
    await using llm = await load(spec(folder), host, options);
    expect(textOf(await ask(llm, "river dog"))).toBe("The dog is there.\n\n[1] 1.txt\n[2] 2.txt\n[3] 0.txt");
  });

  it("counts the tokens of its model calls, and tells how the last ended", async () => {
    await using llm = await load(spec(folder), host);
    const usage = { inputTokens: 5, outputTokens: 2 };
    expect((await ask(llm, "cat")).at(-1)).toEqual({ type: "finish", choice: 0, reason: "stop", usage });
    const cut = new Speaker([
      { type: "text", choice: 0, text: "The" },
      { type: "finish", choice: 0, reason: "length", usage },
    ]);
    await using short = await load(spec(folder), hostOf(folder, { writer: cut, counts: new Counts() }));
    expect((await ask(short, "cat")).at(-1)).toMatchObject({ reason: "length" });
  });

  it("passes sampling on, without the stop sequences, which end the answer alone", async () => {
    const writer = new Speaker("yes");
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }));
    await ask(llm, { ...says("cat"), sampling: { temperature: 0.2, maxTokens: 9, stop: ["x"] } });
    expect(writer.requests[0]!.sampling).toEqual({ temperature: 0.2, maxTokens: 9 });
  });

  it("takes a prompt as the user's message, and only the last message", async () => {
    const writer = new Speaker("yes");
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }));
    await ask(llm, { prompt: "cat", sampling: {} });
    await ask(llm, conversation("dog"));
    expect(JSON.stringify(writer.requests[0])).toContain("Query: cat");
    expect(JSON.stringify(writer.requests[1])).toContain("Query: dog");
    expect(JSON.stringify(writer.requests[1])).not.toContain("Rex");
  });

  it("has the conversation before it through a chat engine, of which nothing is kept", async () => {
    const writer = new Speaker("yes");
    const options = { ...MODELS, engine: "chat" };
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }), options);
    const parts = await ask(llm, conversation("river dog"));
    await ask(llm, "cat");
    expect(steps(parts, "sources")).toHaveLength(1);
    const [first, second] = writer.requests;
    expect(first!.messages!.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"]);
    expect(first!.messages![0]!.content).toContain("A dog by the river.");
    expect(first!.messages!.at(-1)!.content).toBe("river dog");
    expect(JSON.stringify(second)).not.toContain("Rex");
  });

  it("refuses what an application cannot do", async () => {
    await using llm = await load(spec(folder), host);
    const refused = (request: Partial<ChatRequest>, message: RegExp, code = "INVALID_ARGUMENT") =>
      expect(ask(llm, { ...says("cat"), ...request })).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    await refused({ n: 3 }, /'n' is 3/);
    await refused({ tools: [{}] }, /its own tools/, "UNSUPPORTED");
    await refused({ responseFormat: { type: "json_object" } }, /'response_format'/, "UNSUPPORTED");
    await refused({ extra: { logprobs: true } }, /'logprobs'.*'llamaindex'/, "UNSUPPORTED");
    await refused({ messages: [{ role: "assistant", content: "hi" }] }, /last message must be the user's/);
    await refused({ messages: [] }, /last message must be the user's/);
  });
});

describe("its models", () => {
  it("fail the load when they do not exist, or make no embeddings", async () => {
    const missing = load(spec(folder, "lost"), hostOf(folder, { writer: speaker }));
    await expect(missing).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: "Model 'lost': embed 'capstan:counts': Model 'counts' is not found",
    });
    const fault = new CapstanError("UNSUPPORTED", "Model 'counts' does not make embeddings");
    const silent = { embed: () => Promise.reject(fault) };
    await expect(
      load(spec(folder, "mute"), hostOf(folder, { writer: speaker, counts: silent })),
    ).rejects.toThrow("Model 'mute': embed 'capstan:counts': Model 'counts' does not make embeddings");
  });

  it("may be loaded later: what cannot be seen yet is looked at with the first question", async () => {
    let counts: Pick<ModelClient, "embed"> = {
      embed: () => Promise.reject(new CapstanError("NOT_READY", "Model 'counts' is loading")),
    };
    const later = {
      embed: (texts: readonly string[], call: Call) => counts.embed(texts, call),
    };
    const { call, lines } = loggedCall();
    await using llm = await load(
      spec(folder, "early"),
      hostOf(folder, { writer: speaker, counts: later }),
      MODELS,
      call,
    );
    expect(lines.map(({ message }) => message)).toEqual(["The embedding model could not be looked at yet"]);
    await expect(ask(llm, "cat")).rejects.toMatchObject({
      code: "NOT_READY",
      message: expect.stringMatching(/embed 'capstan:counts'/),
    });
    counts = new Counts(["cat"]);
    await expect(ask(llm, "cat")).rejects.toThrow(
      /the vectors in storage have 4 numbers, .*'capstan:counts' 1/,
    );
    counts = new Counts();
    expect(textOf(await ask(llm, "cat"))).toBe("The dog is there.");
  });

  describe("may be upstreams", () => {
    const remote = (): Host => ({
      ...host,
      adapter: async (name, model, options, call) => {
        expect(name).toBe("openai");
        const parsed = openai.options.safeParse(options);
        if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
        return openai.load(model, parsed.data, host, call);
      },
    });
    const vectors = [{ index: 0, embedding: [2.1, 0.1, 0.1, 0.1] }];

    it("which are reached through the adapter openai", async () => {
      const answers = chat("From", " afar");
      await using upstream = await OpenaiUpstream.start((response, request) =>
        (request.url === "/v1/embeddings" ? reply(200, { data: vectors }) : answers)(response, request),
      );
      const embed = { base_url: upstream.origin, model: "bge", api_key: "secret" };
      await using llm = await load(spec(folder, "far"), remote(), { llm: upstream.origin, embed });
      const parts = await ask(llm, "cat");
      expect(textOf(parts)).toBe("From afar");
      expect(steps(parts, "sources")[0]).toMatchObject([{ text: "The cat saw a cat." }, {}]);
      expect(upstream.requests.map(({ url, body }) => [url, body.model])).toEqual([
        ["/v1/embeddings", "bge"],
        ["/v1/embeddings", "bge"],
        ["/v1/chat/completions", "far"],
      ]);
      expect(upstream.requests[0]!.headers.authorization).toBe("Bearer secret");
    });

    it("whose connection an abort closes", async () => {
      await using upstream = await OpenaiUpstream.start(stalls(chunk({ content: "and so" })));
      const options = { ...MODELS, llm: upstream.origin };
      await using llm = await load(spec(folder, "far"), remote(), options);
      const { call, abort, reason } = abortable();
      const read = async () => {
        for await (const part of llm.streamTokens(says("cat"), call)) if (part.type === "text") abort();
      };
      await expect(read()).rejects.toBe(reason);
      await upstream.idle();
      expect(upstream.left).toBe(1);
    });

    it("that are not there yet do not hold up the load", async () => {
      const { call, lines } = loggedCall();
      const embed = { base_url: "http://127.0.0.1:9", max_retries: 0 };
      await using llm = await load(spec(folder, "down"), remote(), { ...MODELS, embed }, call);
      const later = "The embedding model could not be looked at yet";
      expect(lines.map(({ message }) => message)).toContain(later);
      await expect(ask(llm, "cat")).rejects.toThrow(/embed 'down at 127\.0\.0\.1:9': /);
    });
  });

  it("must be given for a storage by itself", async () => {
    const fault = (options: object) => expect(load(spec(folder), host, options)).rejects;
    await fault({ embed: "capstan:counts" }).toThrow(/set llm in parameters\.extra/);
    await fault({ llm: "capstan:writer" }).toThrow(/set embed in parameters\.extra/);
    expect(llamaindex.options.safeParse({ llm: "gpt-4" }).success).toBe(false);
  });

  it("that fail within an answer fail it", async () => {
    const writer = { chat: () => fails() };
    await using llm = await load(spec(folder), hostOf(folder, { writer, counts: new Counts() }));
    await expect(ask(llm, "cat", testCall())).rejects.toMatchObject({ code: "INTERNAL" });
  });
});

it("does not load without its files", async () => {
  await using files = await Files.create({ "notes.txt": "nothing" });
  await expect(load(spec(files.root), host)).rejects.toThrow(/there is no application in .*model\.ts/);
});

function conversation(last: string): ChatRequest {
  return {
    messages: [
      { role: "user", content: "My dog is Rex." },
      { role: "assistant", content: "Good." },
      { role: "user", content: [{ type: "text", text: last }] },
    ],
    sampling: {},
  };
}

// biome-ignore lint/correctness/useYield: it fails before its first part
async function* fails(): AsyncGenerator<never> {
  throw new Error("out of memory");
}
