import { describe, expect, it } from "vitest";
import { CapstanError, invalid } from "../../src/contracts/index.ts";
import { collect, testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import {
  agent,
  ask,
  hostOf,
  jsonCrew,
  kinds,
  type Line,
  load,
  Scripted,
  says,
  steps,
  task,
  textOf,
  toolCall,
} from "./crew-fakes.ts";

const FACTS = `
import { z } from "zod";
const schema = z.object({ topic: z.string() });
export default { description: "Knows things", schema, run: ({ topic }: z.infer<typeof schema>) => ({ fact: topic + " bark" }) };
`;
const BROKEN = `
export default {
  name: "breaks", description: "Fails", parameters: { type: "object", properties: {} },
  run() { throw new Error("no luck"); },
};
`;
const SLOW = `
export default { description: "Never ends", parameters: { type: "object" }, run: () => new Promise(() => {}) };
`;
const files = (more: object = {}) =>
  jsonCrew(
    { tasks: [task("find")] },
    {
      "agents/writer.jsonc": agent({ tools: ["facts", "custom:broken"], ...more }),
      "tools/facts.ts": FACTS,
      "tools/broken.ts": BROKEN,
      "tools/slow.ts": SLOW,
    },
  );

async function run(lines: Line[], options: object = {}, more: object = {}) {
  await using made = await Files.create(files(more));
  const model = new Scripted(...lines);
  const parts = await ask(made.root, model, "x", options);
  return { model, parts, text: textOf(parts) };
}

describe("native tool calls", () => {
  it("run the tool and go back to the model", async () => {
    const { model, parts, text } = await run([[toolCall("facts", '{"topic":"dogs"}')], "Dogs bark, I hear."]);
    expect(text).toBe("Dogs bark, I hear.");
    expect(kinds(parts)).toEqual([
      "task_started find writer",
      "tool find writer",
      "tool_result find writer",
      "task_finished find writer",
    ]);
    expect(steps(parts)[1]).toMatchObject({ tool: "facts", input: '{"topic":"dogs"}' });
    expect(steps(parts)[2]).toMatchObject({ tool: "facts", output: '{"fact":"dogs bark"}' });
    expect(model.requests[0]!.tools).toMatchObject([
      {
        type: "function",
        function: { name: "facts", parameters: { properties: { topic: { type: "string" } } } },
      },
      { type: "function", function: { name: "breaks" } },
    ]);
    expect(model.requests[1]!.messages!.slice(-2)).toEqual([
      { role: "assistant", content: "", toolCalls: [toolCall("facts", '{"topic":"dogs"}')] },
      { role: "tool", content: '{"fact":"dogs bark"}', name: "facts", toolCallId: "call_1" },
    ]);
  });

  it.each([
    ["an unknown tool", toolCall("fax", "{}"), "there is no tool 'fax'; there is facts, breaks"],
    ["arguments that are no JSON", toolCall("facts", "{topic"), "must be one JSON object"],
    [
      "arguments that do not fit",
      toolCall("facts", '{"topic":1}'),
      "do not fit: ✖ Invalid input: expected string",
    ],
    ["a tool that throws", toolCall("breaks", ""), "no luck"],
  ])("tell the model of %s", async (_what, call, message) => {
    const { model, parts, text } = await run([[call], "Then not."]);
    expect(text).toBe("Then not.");
    expect(model.requests[1]!.messages!.at(-1)!.content).toMatch(/^Error: /);
    expect(model.requests[1]!.messages!.at(-1)!.content).toContain(message);
    expect(steps(parts)[2]!.error).toContain(message);
  });

  it("end after max_iter calls with an answer that must be given without tools", async () => {
    const again = [toolCall("fax", "{}")];
    const { model, parts, text } = await run([again, again, "My best answer"], {}, { max_iter: 2 });
    expect(text).toBe("My best answer");
    expect(kinds(parts)).toContain("max_iter find writer");
    expect(model.requests).toHaveLength(3);
    expect(model.requests[2]!.tools).toBeUndefined();
    expect(model.requests[2]!.messages!.at(-1)!.content).toMatch(/best answer now/);
  });

  it("stop with the caller, whatever a tool does", async () => {
    await using made = await Files.create(files({ tools: ["slow"] }));
    const writer = new Scripted([toolCall("slow", "{}")]);
    await using llm = await load(made.root, hostOf(made.root, { writer }));
    const controller = new AbortController();
    const work = (async () => {
      for await (const part of llm.streamTokens(says("x"), testCall({ signal: controller.signal }))) {
        if (steps([part])[0]?.kind === "tool") setImmediate(() => controller.abort(new Error("gone")));
      }
    })();
    await expect(work).rejects.toThrow("gone");
  });
});

describe("a model that takes no tools", () => {
  const say =
    (text: string): Line =>
    (request) => {
      return request.tools === undefined
        ? text
        : invalid("This model does not call tools", { param: "tools" });
    };

  it("is asked in text from then on", async () => {
    await using made = await Files.create(files());
    const refusal: Line = () => new CapstanError("UNSUPPORTED", "no tools here");
    const writer = new Scripted(
      refusal,
      'Action: facts\nAction Input: {"topic": "dogs"}',
      "Final Answer: They bark",
      "Final Answer: again",
    );
    await using llm = await load(made.root, hostOf(made.root, { writer }));
    expect(textOf(await collect(llm.streamTokens(says("x"), testCall())))).toBe("They bark");
    expect(textOf(await collect(llm.streamTokens(says("x"), testCall())))).toBe("again");
    expect(writer.requests.map(({ tools }) => tools !== undefined)).toEqual([true, false, false, false]);
  });

  it("is a fault where native calls are asked for", async () => {
    await expect(run([say("x")], { tool_calling: "native" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      param: "tools",
    });
  });

  it("has its other faults told as they are", async () => {
    await expect(run([new CapstanError("UPSTREAM", "broken")])).rejects.toMatchObject({ code: "UPSTREAM" });
  });
});

describe("tool calls in text", () => {
  const react = { tool_calling: "react" };

  it("run the tool, and stream the answer from its mark on", async () => {
    const { model, parts, text } = await run(
      [
        'Thought: I must look\nAction: facts\nAction Input: {"topic": "dogs"}\nObservation: made up',
        "Thought: I know the answer\nFinal Answer: Dogs bark a lot",
      ],
      react,
    );
    expect(text).toBe("Dogs bark a lot");
    expect(parts.filter(({ type }) => type === "text").length).toBeGreaterThan(2);
    expect(steps(parts).find(({ kind }) => kind === "thought")).toMatchObject({ thought: "I must look" });
    expect(model.requests[0]!.sampling.stop).toEqual(["\nObservation"]);
    expect(model.seen(0)).toContain("- facts: Knows things");
    expect(model.requests[1]!.messages!.at(-1)!.content).toBe('Observation: {"fact":"dogs bark"}');
  });

  it("tell the model of nonsense, and end after max_iter with whatever it says", async () => {
    const { model, parts, text } = await run(["I like trains"], react, { max_iter: 2 });
    expect(text).toBe("I like trains");
    expect(model.requests).toHaveLength(3);
    expect(model.requests[1]!.messages!.at(-1)!.content).toMatch(/^Observation: Error: that was neither/);
    expect(kinds(parts).filter((kind) => kind.startsWith("unreadable"))).toHaveLength(2);
  });

  it("leave the mark out of an answer that had to be given", async () => {
    const lines = ['Action: "fax"\nAction Input: nothing', "Thought: well\nFinal Answer: enough"];
    const { model, text } = await run(lines, react, { max_iter: 1 });
    expect(text).toBe("enough");
    expect(model.requests[1]!.messages!.at(-2)!.content).toContain("there is no tool 'fax'");
  });
});

describe("delegation", () => {
  const crew = (more: object, files: object = {}) =>
    jsonCrew(
      { agents: ["writer", "looker"], tasks: [task("find")], ...more },
      { "agents/looker.jsonc": agent({ role: "The Looker" }), ...files },
    );
  const delegate = (coworker: string) =>
    [
      toolCall(
        "delegate_work_to_coworker",
        JSON.stringify({ coworker, task: "Look at dogs", context: "They are outside" }),
      ),
    ] as const;

  it("lets an agent that may give work to another, which has no tools for that itself", async () => {
    await using made = await Files.create(
      crew({}, { "agents/writer.jsonc": agent({ allow_delegation: true }) }),
    );
    const writer = new Scripted(delegate("the looker"), "They sleep.", "Dogs sleep.");
    const parts = await ask(made.root, writer, "x");
    expect(textOf(parts)).toBe("Dogs sleep.");
    expect(kinds(parts)).toContain("delegated find looker");
    expect(writer.seen(1)).toMatch(/The Looker[\s\S]*Look at dogs[\s\S]*They are outside/);
    expect(writer.requests[1]!.tools).toBeUndefined();
    expect(writer.requests[2]!.messages!.at(-1)!.content).toBe("They sleep.");
  });

  it("is how the manager of a hierarchical crew works, with the agent that a task names", async () => {
    const hierarchical = {
      process: "hierarchical",
      manager_llm: "capstan:boss",
      tasks: [task("find"), task("free", { agent: undefined })],
    };
    await using made = await Files.create(crew(hierarchical));
    const boss = new Scripted(
      delegate("looker"),
      [toolCall("ask_question_to_coworker", '{"coworker":"Writer","question":"Well?"}')],
      "Found.",
      [toolCall("ask_question_to_coworker", '{"question":"Well?"}')],
      "Done.",
    );
    const writer = new Scripted("Yes.");
    await using llm = await load(made.root, hostOf(made.root, { boss, writer }));
    const parts = await collect(llm.streamTokens(says("x"), testCall()));
    expect(textOf(parts)).toBe("Done.");
    expect(boss.requests[1]!.messages!.at(-1)!.content).toBe(
      "Error: there is no coworker 'looker'; there is writer",
    );
    expect(boss.requests[2]!.messages!.at(-1)!.content).toBe("Yes.");
    expect(boss.requests[4]!.messages!.at(-1)!.content).toMatch(/do not fit[\s\S]*coworker/);
    expect(JSON.stringify(boss.requests[3]!.tools)).toContain(
      "Coworkers: writer (Writer), looker (The Looker)",
    );
    expect(steps(parts)[0]).toEqual({ task: "find", agent: "manager", kind: "task_started" });
  });

  it("may have an agent of the crew's own as manager, who is not given work", async () => {
    const boss = { "agents/boss.jsonc": agent({ role: "Boss" }) };
    await using made = await Files.create(crew({ process: "hierarchical", manager_agent: "boss" }, boss));
    const writer = new Scripted("Done by the boss.");
    const parts = await ask(made.root, writer, "x");
    expect(kinds(parts)[0]).toBe("task_started find boss");
    expect(JSON.stringify(writer.requests[0]!.tools)).not.toContain("boss");
  });

  it("lets a coworker's fault be a fault, and takes it for none of the manager's", async () => {
    await using made = await Files.create(crew({ process: "hierarchical", manager_llm: "capstan:boss" }));
    const boss = new Scripted(delegate("writer"));
    const writer = new Scripted(new CapstanError("UNSUPPORTED", "not a language model"));
    await using llm = await load(made.root, hostOf(made.root, { boss, writer }));
    await expect(collect(llm.streamTokens(says("x"), testCall()))).rejects.toMatchObject({
      message: "llm 'capstan:writer': not a language model",
    });
    expect(boss.requests).toHaveLength(1);
  });
});
