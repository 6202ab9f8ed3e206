import { describe, expect, it } from "vitest";
import crew from "../../adapters/crew/index.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import {
  agent,
  ask,
  hostOf,
  jsonCrew,
  kinds,
  listeningLog,
  load,
  Scripted,
  spec,
  task,
  textOf,
} from "./crew-fakes.ts";

async function loadFault(files: Record<string, string>, options: object = {}): Promise<string> {
  await using made = await Files.create(files);
  const loading = load(made.root, hostOf(made.root, { writer: new Scripted("yes") }), options);
  const error = (await loading.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )) as Error & { code: string };
  expect(error?.code).toBe("LOAD_FAILED");
  return error.message;
}

const one = (more: object = {}) => ({ tasks: [task("a", more)] });
const writer = (more: object) => ({ "agents/writer.jsonc": agent(more) });
const TOOL = "export default { description: 'x', parameters: { type: 'object' }, run: () => 1 };";

describe("a crew that cannot be loaded", () => {
  it.each<[string, Record<string, string>, string | RegExp]>([
    ["no files", { "readme.md": "x" }, "there is no crew in"],
    ["Python alone", { "crew.py": "x" }, "crew.py is Python, which this server does not run"],
    ["broken JSON", { "crew.jsonc": '{\n "agents": [}' }, /crew\.jsonc:2 is not JSON/],
    ["no object", { "crew.jsonc": "[]" }, "crew.jsonc: it must hold one object"],
    [
      "broken YAML",
      { "config/agents.yaml": "a: [", "config/tasks.yaml": "{}" },
      /config\/agents\.yaml:\d is not YAML/,
    ],
    ["no tasks", jsonCrew({ tasks: [] }), "crew.jsonc:5 tasks: must have at least one task"],
    ["tasks missing", jsonCrew({}), "crew.jsonc:1 tasks: is missing"],
    ["a task that is no object", jsonCrew({ tasks: ["x"] }), "tasks[0]: must be an object of fields"],
    [
      "an unknown agent",
      jsonCrew(one({ agent: "writr" })),
      "tasks[0].agent: there is no agent 'writr'; there is writer; did you mean \"writer\"?",
    ],
    ["no agent", jsonCrew(one({ agent: undefined })), "tasks[0].agent: is missing: name who does the task"],
    [
      "no file of an agent",
      jsonCrew({ ...one(), agents: ["writer", "../x"] }),
      "agents[1]: there is no agent '../x'",
    ],
    [
      "an unknown task as context",
      jsonCrew(one({ context: ["b"] })),
      "tasks[0].context: there is no task 'b'",
    ],
    [
      "a later task as context",
      jsonCrew({ tasks: [task("a", { context: ["b"] }), task("b")] }),
      "task 'b' does not come before this one",
    ],
    [
      "two tasks of one name",
      jsonCrew({ tasks: [task("a"), task("a")] }),
      "tasks[1].name: there is another task 'a'",
    ],
    [
      "an unknown manager",
      jsonCrew({ ...one(), process: "hierarchical", manager_agent: "x" }),
      "manager_agent: there is no agent 'x'",
    ],
    [
      "an unknown tool",
      jsonCrew(one(), writer({ tools: ["fax"] })),
      "agents/writer.jsonc:5 tools: there is no tool 'fax': write tools/fax.ts",
    ],
    ["a tool outside of its folder", jsonCrew(one({ tools: ["../fax"] })), "there is no tool '../fax'"],
    [
      "a tool in Python",
      jsonCrew(one(), { ...writer({ tools: ["custom:fax"] }), "tools/fax.py": "x" }),
      "tools/fax.py is Python, which this server does not run: write tools/fax.ts",
    ],
    [
      "a Python reference",
      jsonCrew(one(), writer({ tools: [{ python: "my.tools.Fax" }] })),
      /tools: \{"python": "my\.tools\.Fax"\} is Python.*write tools\/Fax\.ts/,
    ],
    [
      "a Python class as output",
      jsonCrew(one({ output_json: { python: "my.Report" } })),
      'output_json: {"python": "my.Report"} is Python',
    ],
    [
      "a Pydantic class",
      jsonCrew(one({ output_pydantic: "Report" })),
      "output_pydantic: is not supported: a Pydantic class is Python's",
    ],
    ["a class name as output", jsonCrew(one({ output_json: "Report" })), "must be true, or a JSON Schema"],
    [
      "a schema that is none",
      jsonCrew(one({ output_json: { type: "strange" } })),
      "output_json: is not a JSON Schema",
    ],
    ["human input", jsonCrew(one({ human_input: true })), "human_input: must be false: nobody is there"],
    ["a guardrail", jsonCrew(one({ guardrail: "be nice" })), "guardrail: is not supported"],
    [
      "a conditional task",
      jsonCrew(one({ type: "ConditionalTask" })),
      "type: a conditional task has a condition in Python",
    ],
    [
      "a misspelt field",
      jsonCrew(one(), writer({ gaol: "x" })),
      'agents/writer.jsonc:5 gaol: CrewAI has no such field; did you mean "goal"?',
    ],
    ["a field that is nothing like one", jsonCrew(one({ zzzzzzz: 1 })), /zzzzzzz: CrewAI has no such field$/],
    ["a wrong type", jsonCrew(one(), writer({ max_iter: 0 })), "agents/writer.jsonc:5 max_iter: Too small"],
    [
      "a missing field",
      jsonCrew(one(), { "agents/writer.jsonc": { role: "x", goal: "y" } }),
      "agents/writer.jsonc:1 backstory: is missing",
    ],
    [
      "a model that nothing explains",
      jsonCrew(one(), writer({ llm: "openai/gpt-4o" })),
      "say what stands for it in parameters.extra.llms",
    ],
    [
      "a tool module that exports no tool",
      jsonCrew(one({ tools: ["fax"] }), { "tools/fax.ts": "export default 1;" }),
      "tools/fax.ts: its default export must be a tool",
    ],
    [
      "a tool without a schema",
      jsonCrew(one({ tools: ["fax"] }), { "tools/fax.ts": "export default { description: 'x', run() {} };" }),
      "a tool needs 'schema' (of zod 4), or 'parameters'",
    ],
    [
      "a tool that does not compile",
      jsonCrew(one({ tools: ["fax"] }), { "tools/fax.ts": "export default {" }),
      "tools/fax.ts",
    ],
  ])("says why: %s", async (_what, files, message) => {
    const fault = await loadFault(files);
    expect(fault).toMatch(/^Model 'team': |^tools\/|output_json/);
    if (typeof message === "string") expect(fault).toContain(message);
    else expect(fault).toMatch(message);
  });

  it("says all that is wrong at once", async () => {
    const fault = await loadFault(jsonCrew(one({ descripton: "x" }), writer({ goal: 1 })));
    expect(fault.split("\n")).toHaveLength(2);
  });

  it("says that there is no model", async () => {
    expect(await loadFault(jsonCrew(one()), { llm: undefined })).toContain(
      "agents/writer.jsonc:1 llm: no language model is named",
    );
  });

  it("says that the manager of the settings is nobody", async () => {
    const options = { process: "hierarchical", manager_agent: "writr" };
    const fault = await loadFault(jsonCrew(one()), options);
    expect(fault).toContain("manager_agent: there is no agent 'writr'; there is writer; did you mean");
  });

  it("says that a file cannot be read", async () => {
    expect(await loadFault({ "crew.jsonc/x": "1" })).toMatch(/cannot read .*crew\.jsonc/);
  });

  it("refuses a model reference that is neither ours nor an address", () => {
    expect(crew.options.safeParse({ llm: "gpt-4" }).success).toBe(false);
  });
});

describe("CrewAI's forms", () => {
  it("warns once of what has no effect here, and is silent about what only prints", async () => {
    await using made = await Files.create(
      jsonCrew(
        { ...one({ output_file: "x.md" }), verbose: true, memory: true },
        writer({ max_rpm: 3, tools: null, settings: { verbose: true, max_iter: 3 } }),
      ),
    );
    const { log, warnings } = listeningLog();
    await using _llm = await load(
      made.root,
      hostOf(made.root, { writer: new Scripted("yes") }),
      {},
      testCall({ log }),
    );
    expect(warnings).toEqual([
      "These fields of CrewAI have no effect here: " +
        "crew.jsonc:15 memory, crew.jsonc:11 tasks[0].output_file, agents/writer.jsonc:5 max_rpm",
    ]);
  });

  it("takes agents in the crew's own file, comments, and a file as artifact", async () => {
    const text = `// A crew\n${JSON.stringify({ agents: { writer: agent() }, ...one() }).replace(/}$/, ",}")}`;
    await using made = await Files.create({ "team.jsonc": text });
    const model = { ...spec(made.root), artifact: made.path("team.jsonc") };
    const options = crew.options.safeParse({ llm: "capstan:writer" });
    if (!options.success) throw new Error("options");
    await using llm = await crew.load(
      model,
      options.data,
      hostOf(made.root, { writer: new Scripted("yes") }),
      testCall(),
    );
    expect(llm.inputs).toEqual([]);
  });

  const AGENTS =
    "writer:\n  role: >\n    {topic} Writer\n  goal: Write\n  backstory: |\n    You write.\nother:\n  role: O\n  goal: G\n  backstory: B\n";
  const TASKS =
    "find:\n  description: Find {topic}\n  expected_output: One\n  agent: other\nreport:\n  description: Report\n  expected_output: Two\n  agent: writer\n  context:\n    - find\n";

  it.each(["", "src/my_crew/"])("takes the classic YAML files in %jconfig/", async (root) => {
    await using made = await Files.create({
      [`${root}config/agents.yaml`]: AGENTS,
      [`${root}config/tasks.yaml`]: TASKS,
      [`${root}crew.py`]: "x",
    });
    const model = new Scripted("Dogs.", "About dogs.");
    const parts = await ask(made.root, model, "dogs");
    expect(kinds(parts)).toContain("task_finished report writer");
    expect(model.seen(1)).toContain("You are dogs Writer. You write.");
    expect(textOf(parts)).toBe("About dogs.");
  });

  it("takes process and manager from the settings, which the classic form has in Python", async () => {
    await using made = await Files.create({ "config/agents.yaml": AGENTS, "config/tasks.yaml": TASKS });
    const parts = await ask(made.root, new Scripted("x"), "dogs", {
      process: "hierarchical",
      manager_llm: "capstan:writer",
    });
    expect(kinds(parts)[0]).toBe("task_started find manager");
    const named = await ask(made.root, new Scripted("x"), "dogs", {
      process: "hierarchical",
      manager_agent: "other",
    });
    expect(kinds(named)[0]).toBe("task_started find other");
  });

  it("names file and line of what is wrong in YAML", async () => {
    const fault = await loadFault({
      "config/agents.yaml": AGENTS,
      "config/tasks.yaml": `${TASKS}  agnt: x\n`,
    });
    expect(fault).toContain(
      'config/tasks.yaml:11 report.agnt: CrewAI has no such field; did you mean "agent"?',
    );
  });

  it("imports each tool once, and disposes it with the crew", async () => {
    const disposing = `${TOOL}\nexport function dispose() { globalThis.disposedTools = (globalThis.disposedTools ?? 0) + 1; }`;
    await using made = await Files.create(
      jsonCrew(one({ tools: ["fax"] }), { ...writer({ tools: ["fax"] }), "tools/fax.ts": disposing }),
    );
    const llm = await load(made.root, hostOf(made.root, { writer: new Scripted("yes") }));
    await llm[Symbol.asyncDispose]();
    expect((globalThis as { disposedTools?: number }).disposedTools).toBe(1);
  });
});
