import { afterAll, beforeAll, describe, expect, it } from "vitest";
import crew from "../../adapters/crew/index.ts";
import { CapstanError } from "../../src/contracts/index.ts";
import { adapterContract, collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import {
  agent,
  ask,
  forever,
  hostOf,
  jsonCrew,
  kinds,
  load,
  Scripted,
  says,
  spec,
  steps,
  task,
  textOf,
} from "./crew-fakes.ts";

const two = jsonCrew({ tasks: [task("find", { description: "Find {topic}" }), task("write")] });

describe("as every adapter", () => {
  let files: Files;
  const writer = new Scripted("One two three.");
  beforeAll(async () => {
    files = await Files.create(two);
  });
  afterAll(() => files[Symbol.asyncDispose]());
  const cases = adapterContract(crew, {
    options: { llm: "capstan:writer" },
    host: hostOf("/", { writer }),
    model: () => spec(files.root),
    missing: () => spec(files.path("none")),
    request: () => says("dogs"),
    badRequest: () => ({ ...says("dogs"), n: 2 }),
    idle: async () => expect(writer.open).toBe(0),
  });
  for (const { name, run } of cases) it(name, run);
});

/** Runs a crew of these files once. */
async function run(
  files: Record<string, string>,
  model: Scripted,
  request: Parameters<typeof ask>[2],
  options: object = {},
) {
  await using made = await Files.create(files);
  return await ask(made.root, model, request, options);
}

describe("a sequential crew", () => {
  it("does its tasks in turn, each with what those before gave, and answers with the last", async () => {
    const writer = new Scripted("Dogs bark.", "They do.");
    const parts = await run(two, writer, "dogs");
    expect(textOf(parts)).toBe("They do.");
    expect(kinds(parts)).toEqual([
      "task_started find writer",
      "task_finished find writer",
      "task_started write writer",
      "task_finished write writer",
    ]);
    expect(writer.seen(0)).toContain("Find dogs");
    expect(writer.seen(1)).toContain("Dogs bark.");
    expect(parts.at(-1)).toEqual({
      type: "finish",
      choice: 0,
      reason: "stop",
      usage: { inputTokens: 6, outputTokens: 4 },
    });
    expect(writer.requests[0]!.tools).toBeUndefined();
  });

  it("gives a task the context it names, and none where the list is empty", async () => {
    const writer = new Scripted("AAA", "BBB", "CCC", "DDD");
    const tasks = [task("a"), task("b"), task("c", { context: ["a"] }), task("d", { context: [] })];
    await run(jsonCrew({ tasks }), writer, "x");
    expect(writer.seen(2)).toContain("AAA");
    expect(writer.seen(2)).not.toContain("BBB");
    expect(writer.seen(3)).not.toMatch(/AAA|BBB|CCC/);
  });

  it("passes sampling on to each model call, without stop sequences", async () => {
    const writer = new Scripted("yes");
    await run(two, writer, { ...says("x"), sampling: { maxTokens: 5, stop: ["y"] } });
    expect(writer.requests.map(({ sampling }) => sampling)).toEqual([{ maxTokens: 5 }, { maxTokens: 5 }]);
  });

  it("says who the agent is, in the user's message where it takes no system message", async () => {
    const writer = new Scripted("yes");
    const files = jsonCrew(
      { tasks: [task("a", { markdown: true })] },
      { "agents/writer.jsonc": agent({ use_system_prompt: false }) },
    );
    await run(files, writer, "x");
    expect(writer.requests[0]!.messages!.map(({ role }) => role)).toEqual(["user"]);
    expect(writer.seen(0)).toMatch(/You are Writer\. You like words\.[\s\S]*Your task: Do a[\s\S]*Markdown/);
  });

  it("runs tasks with async_execution at the same time, before the next one that waits", async () => {
    const gate = Promise.withResolvers<string>();
    const writer = new Scripted(
      () => gate.promise,
      () => {
        gate.resolve("first");
        return "second";
      },
      "third",
    );
    const tasks = [task("a", { async_execution: true }), task("b", { async_execution: true }), task("c")];
    const parts = await run(jsonCrew({ tasks }), writer, "x");
    expect(kinds(parts).slice(0, 2)).toEqual(["task_started a writer", "task_started b writer"]);
    expect(writer.seen(2)).toMatch(/first[\s\S]*second/);
    expect(textOf(parts)).toBe("third");
  });

  it("stops the tasks beside one that fails, and says which model it was", async () => {
    const fault = new CapstanError("RATE_LIMITED", "Come back later", { retryAfterMs: 5 });
    const writer = new Scripted(forever, fault);
    const tasks = [task("a", { async_execution: true }), task("b", { async_execution: true })];
    const work = run(jsonCrew({ tasks }), writer, "x");
    await expect(work).rejects.toMatchObject({
      code: "RATE_LIMITED",
      retryAfterMs: 5,
      message: "llm 'capstan:writer': Come back later",
    });
    expect(writer.open).toBe(0);
  });

  it("stops in mid-run when the caller leaves", async () => {
    await using files = await Files.create(two);
    const writer = new Scripted("One.", forever);
    await using llm = await load(files.root, hostOf(files.root, { writer }));
    const controller = new AbortController();
    const reason = new Error("gone");
    const work = (async () => {
      for await (const part of llm.streamTokens(says("x"), testCall({ signal: controller.signal }))) {
        if (steps([part])[0]?.task === "write") setImmediate(() => controller.abort(reason));
      }
    })();
    await expect(work).rejects.toBe(reason);
    expect(writer.open).toBe(0);
  });
});

describe("JSON answers", () => {
  const schema = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
  const files = (output_json: unknown) => jsonCrew({ tasks: [task("count", { output_json })] });

  it("are checked and given as JSON alone, without fences and what was said before", async () => {
    expect(textOf(await run(files(schema), new Scripted('```json\n{ "n": 3 }\n```'), "x"))).toBe('{"n":3}');
    expect(textOf(await run(files(true), new Scripted("Here it is: [1, 2]"), "x"))).toBe("[1,2]");
  });

  it("are repaired once", async () => {
    const writer = new Scripted('{"n": "many"}', '{"n": 4}');
    const parts = await run(files(schema), writer, "x");
    expect(textOf(parts)).toBe('{"n":4}');
    expect(kinds(parts)).toContain("json_repair count writer");
    expect(writer.seen(1)).toMatch(/cannot be used: [\s\S]*expected[\s\S]*JSON Schema/);
  });

  it("are a fault of the model's the second time", async () => {
    await expect(run(files(true), new Scripted("no idea"), "x")).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringContaining("Task 'count' needs JSON"),
    });
  });
});

describe("inputs", () => {
  const files = (inputs?: object) => {
    return jsonCrew({
      tasks: [task("a", { description: "Compare {one} and {two}" })],
      ...(inputs && { inputs }),
    });
  };

  it("come from the request's inputs, a JSON object, and the defaults of the crew", async () => {
    const writer = new Scripted("yes");
    await run(files({ two: 2 }), writer, { extra: { inputs: { one: ["x"] } } });
    await run(files(), writer, JSON.stringify({ one: "dogs", two: "cats" }));
    await run(files({ two: "cats" }), writer, "cows");
    await run(files({ two: "cats" }), writer, { messages: undefined, prompt: "pigs" });
    expect(writer.seen(0)).toContain('Compare ["x"] and 2');
    expect(writer.seen(1)).toContain("Compare dogs and cats");
    expect(writer.seen(2)).toContain("Compare cows and cats");
    expect(writer.seen(3)).toContain("Compare pigs and cats");
  });

  it("are told, with those that have a default", async () => {
    await using made = await Files.create(files({ two: 2 }));
    await using llm = await load(made.root, hostOf(made.root, { writer: new Scripted("yes") }));
    expect(llm.inputs).toEqual([{ name: "one" }, { name: "two", optional: true }]);
  });

  it("take a text for 'input' or 'topic' first, and leave JSON in a text alone", async () => {
    const writer = new Scripted("yes");
    const tasks = [task("a", { description: 'Write {"a": {topic}} for {reader}' })];
    await run(jsonCrew({ tasks, inputs: { topic: "x", reader: "all" } }), writer, {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "[do" },
            { type: "text", text: "gs" },
          ],
        },
      ],
    });
    expect(writer.seen(0)).toContain('Write {"a": [dogs} for all');
  });

  it.each([
    [{ extra: { inputs: { one: "x" } } }, "'two' is missing", "inputs.two"],
    [says("just text"), "'one', 'two' is missing", "inputs.one"],
    [says("{not json"), "'one', 'two' is missing", "inputs.one"],
    [{ extra: { inputs: [] } }, "must be an object", "inputs"],
    [{ messages: [{ role: "assistant", content: "x" }] }, "last message must be the user's", "messages"],
    [{ n: 2 }, "'n' is 2", "n"],
  ] as const)("that do not do are the caller's fault: %j", async (request, message, param) => {
    await expect(run(files(), new Scripted("yes"), request)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
      param,
    });
  });

  it.each([
    ["tools", { tools: [{}] }],
    ["response_format", { responseFormat: { type: "json_object" } }],
    ["logprobs", { extra: { logprobs: true } }],
    ["messages", { messages: [{ role: "user" as const, content: [{ type: "image_url" }] }] }],
  ])("have no room for %s", async (param, request) => {
    const work = run(files(), new Scripted("yes"), request);
    await expect(work).rejects.toMatchObject({ code: "UNSUPPORTED", param });
  });
});

describe("models", () => {
  it("are opened once each, by agents' own names for them as well", async () => {
    const agents = {
      "agents/writer.jsonc": agent({ llm: "openai/gpt-4o" }),
      "agents/other.jsonc": agent({ llm: "http://127.0.0.1:1/v1" }),
    };
    await using files = await Files.create(
      jsonCrew({ agents: ["writer", "other"], tasks: [task("a"), task("b", { agent: "other" })] }, agents),
    );
    const opened: unknown[] = [];
    const upstream = new Scripted("from upstream");
    const host = hostOf(
      files.root,
      { four: new Scripted("from four") },
      {
        async adapter(name, _model, options) {
          opened.push([name, options]);
          return { streamTokens: upstream.chat.bind(upstream), async [Symbol.asyncDispose]() {} };
        },
      },
    );
    await using llm = await load(files.root, host, { llms: { "openai/gpt-4o": "capstan:four" } });
    const parts = await collect(llm.streamTokens(says("x"), testCall()));
    expect(textOf(parts)).toBe("from upstream");
    expect(upstream.seen(0)).toContain("from four");
    expect(opened).toEqual([["openai", { base_url: "http://127.0.0.1:1/v1" }]]);
  });

  it("behind an address are named without it", async () => {
    await using files = await Files.create(jsonCrew({ tasks: [task("a")] }));
    const upstream = new Scripted(new CapstanError("UPSTREAM", "broken"));
    const host = hostOf(
      files.root,
      {},
      {
        adapter: async () => ({
          streamTokens: upstream.chat.bind(upstream),
          async [Symbol.asyncDispose]() {},
        }),
      },
    );
    await using llm = await load(files.root, host, {
      llm: { base_url: "http://me:secret@127.0.0.1:1/v1", model: "m" },
    });
    await expect(collect(llm.streamTokens(says("x"), testCall()))).rejects.toMatchObject({
      message: "llm 'm at 127.0.0.1:1': broken",
    });
  });
});
