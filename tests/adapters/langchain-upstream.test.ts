import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import openai from "../../adapters/openai/index.ts";
import type { Host, ModelSpec } from "../../src/contracts/index.ts";
import { abortableCall, rejectsWithReason } from "../../src/testing/checks.ts";
import { chunk, DONE, EVENT_STREAM, OpenaiUpstream, packets, usage } from "../support/openai-upstream.ts";
import { serve, TestRepository } from "../support/server.ts";
import { AGENT, App, CHAIN, GRAPH } from "./langchain-fakes.ts";
import { ask, says, steps, textOf } from "./llamaindex-fakes.ts";

/** The host's part: an upstream is reached through the adapter that is for it. */
function withOpenai(host: Host): Host {
  const adapter: Host["adapter"] = (name, model: ModelSpec, options, call) => {
    const parsed = openai.options.safeParse(options);
    if (name !== "openai" || !parsed.success) throw new Error(`no adapter for ${JSON.stringify(options)}`);
    return openai.load(model, parsed.data, host, call);
  };
  return { ...host, adapter };
}

describe("an upstream as the llm", () => {
  it("is asked by its model's name with its key, and its tools are run", async () => {
    const called = { index: 0, id: "c1", function: { name: "weather", arguments: '{"city":"Rome"}' } };
    const first = packets(chunk({ tool_calls: [called] }), chunk({}, "tool_calls"), usage(7, 3), DONE);
    const second = packets(
      chunk({ content: "It " }),
      chunk({ content: "rains." }, "stop"),
      usage(9, 2),
      DONE,
    );
    await using upstream = await OpenaiUpstream.start((...asked) =>
      upstream.requests.length === 1 ? first(...asked) : second(...asked),
    );
    await using app = await App.create(AGENT);
    const options = { llm: `${upstream.origin}/v1`, llm_model: "gpt", llm_api_key: "secret" };
    const llm = await app.load(options, {}, {}, withOpenai(app.host()));
    const parts = await ask(llm, "How is Rome?");
    expect(textOf(parts)).toBe("It rains.");
    expect(steps(parts, "tool-result")).toMatchObject([{ output: "Rain in Rome" }]);
    expect(parts.at(-1)).toMatchObject({ reason: "stop", usage: { inputTokens: 16, outputTokens: 5 } });
    const [{ body, headers }, next] = upstream.requests as [never, never];
    expect(headers).toMatchObject({ authorization: "Bearer secret" });
    expect(body).toMatchObject({ model: "gpt", stream: true, tools: [{ function: { name: "weather" } }] });
    expect(next).toMatchObject({
      body: { messages: [{ role: "user" }, { role: "assistant" }, { role: "tool", tool_call_id: "c1" }] },
    });
  });

  it("hears of an abort, in mid-stream and before its first token", async () => {
    for (const first of [[chunk({ content: "one" })], []]) {
      await using upstream = await OpenaiUpstream.start((response) => {
        response.writeHead(200, EVENT_STREAM);
        response.flushHeaders();
        for (const piece of first) response.write(piece);
      });
      for (const code of [CHAIN, GRAPH, AGENT]) {
        await using app = await App.create(code);
        const options = { llm: { base_url: `${upstream.origin}/v1` } };
        const llm = await app.load(options, {}, {}, withOpenai(app.host()));
        const aborted = abortableCall();
        const read = async () => {
          for await (const part of llm.streamTokens(says("hi"), aborted.call))
            if (part.type === "text") aborted.abort();
        };
        if (first.length === 0) setTimeout(aborted.abort, 50);
        await rejectsWithReason(read(), aborted);
        await upstream.idle();
      }
      expect(upstream.left).toBe(3);
    }
  });
});

const settings = (extra: object) => ({
  name: "app",
  implementation: "llm",
  parameters: { uri: "./", extra: { framework: "langchain", ...extra } },
});

describe("a served application", () => {
  it("asks another model of the server, also from a thread", async () => {
    await using repository = await TestRepository.create();
    await repository.addSample("dummy-model");
    for (const isolation of ["none", "thread"]) {
      await repository.write(`app-${isolation}`, {
        ...settings({ llm: "capstan:dummy-model", isolation }),
        name: isolation,
      });
      await writeFile(repository.path(`app-${isolation}`, "model.ts"), GRAPH);
    }
    await using server = await serve(repository.root);
    for (const model of ["none", "thread"]) {
      const messages = [{ role: "user", content: "hello there" }];
      const { body } = await server.post("/v1/chat/completions", { model, messages });
      expect(body).toMatchObject({
        choices: [{ message: { content: "Echo: hello there" }, finish_reason: "stop" }],
      });
    }
  });

  it("is not loaded in a cycle, or with two memories", async () => {
    await using repository = await TestRepository.create();
    await repository.write("app", settings({ llm: "capstan:app" }));
    await writeFile(repository.path("app", "model.ts"), CHAIN);
    await repository.write("both", { ...settings({ memory: { store: "in-process" } }), name: "both" });
    await writeFile(
      repository.path("both", "model.ts"),
      'import { MemorySaver, MessagesAnnotation, StateGraph } from "@langchain/langgraph";\n' +
        "export default new StateGraph(MessagesAnnotation).addNode('a', () => ({}))" +
        ".addEdge('__start__', 'a').compile({ checkpointer: new MemorySaver() });",
    );
    await using server = await serve(repository.root);
    const { body } = await server.post("/v2/repository/index");
    const reason = (name: string) =>
      (body as { name: string; reason: string }[]).find((m) => m.name === name)!.reason;
    expect(reason("app")).toContain("cycle: app -> app");
    expect(reason("both")).toContain("memory is set, and the graph has a checkpointer");
  });
});
