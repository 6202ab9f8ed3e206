import { afterAll, describe, expect, it } from "vitest";
import langchain from "../../adapters/langchain/index.ts";
import { adapterContract } from "../../src/testing/index.ts";
import { eventually } from "../support/eventually.ts";
import { AGENT, App, CHAIN, GRAPH, LLM } from "./langchain-fakes.ts";
import { ask, finish, Speaker, says, steps, textOf, toolCall } from "./llamaindex-fakes.ts";

describe.each([
  ["a chain", CHAIN],
  ["a graph", GRAPH],
  ["an agent", AGENT],
])("%s", async (_, code) => {
  const app = await App.create(code);
  const writer = new Speaker("The dog is there.");
  afterAll(() => app[Symbol.asyncDispose]());
  const contract = adapterContract(langchain, {
    options: LLM,
    host: app.host({ writer }),
    model: () => app.spec,
    missing: () => ({ ...app.spec, artifact: app.files.path("none") }),
    request: () => says("Where is the dog?"),
    badRequest: () => ({ ...says("Where is the dog?"), n: 2 }),
    idle: async () => void (await eventually(() => writer.closed === writer.begun)),
  });
  for (const { name, run } of contract) it(name, run);
});

describe("an agent", () => {
  it("runs its own tools, which are steps, and counts all of its model calls", async () => {
    await using app = await App.create(AGENT);
    const writer = new Speaker(toolCall("weather", '{"city":"Rome"}'), "It rains.");
    const parts = await ask(await app.load(LLM, { writer }), "How is Rome?");
    expect(textOf(parts)).toBe("It rains.");
    expect(steps(parts, "tool-call")).toEqual([{ tool: "weather", id: "call_1", input: { city: "Rome" } }]);
    expect(steps(parts, "tool-result")).toEqual([
      { tool: "weather", id: "call_1", output: "Rain in Rome", failed: false },
    ]);
    expect(parts.at(-1)).toEqual({ ...finish(), usage: { inputTokens: 10, outputTokens: 4 } });
  });
});
