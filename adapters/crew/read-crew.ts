import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ModelSpec } from "../../src/contracts/index.ts";
import type { AgentDefinition, CrewDefinition, TaskDefinition } from "./definition.ts";
import { type Document, isFields, readProjectFile } from "./document.ts";
import { agentFields, type CrewFields, crewFields, taskFields } from "./fields.ts";
import type { Findings } from "./findings.ts";
import type { Project } from "./project.ts";

/** The crew that a project's files describe, without what is wrong in them, which is in `findings`. */
export function readCrew(model: ModelSpec, project: Project, findings: Findings): Promise<CrewDefinition> {
  return "crew" in project ? readJson(model, project, findings) : readClassic(model, project, findings);
}

async function readJson(
  model: ModelSpec,
  { root, crew }: Extract<Project, { crew: string }>,
  findings: Findings,
): Promise<CrewDefinition> {
  const document = await readProjectFile(model, root, crew);
  const fields = findings.fields(document, [], document.value, crewFields);
  if (fields === undefined) return { agents: new Map(), tasks: [], inputs: {} };
  const tasks = fields.tasks.map((value, index) =>
    taskOf(document, ["tasks", index], `task_${index + 1}`, value, findings),
  );
  return {
    agents: await agentsOf(model, root, document, fields, findings),
    tasks: tasks.filter((task) => task !== undefined),
    process: fields.process,
    managerLlm: fields.manager_llm,
    managerAgent: fields.manager_agent,
    inputs: fields.inputs ?? {},
  };
}

/** The agents are files by name, or stand in the crew's own file; the manager need not be in the list. */
async function agentsOf(
  model: ModelSpec,
  root: string,
  document: Document,
  { agents, manager_agent: manager }: CrewFields,
  findings: Findings,
): Promise<Map<string, AgentDefinition>> {
  const found = new Map<string, AgentDefinition>();
  const keep = (agent: AgentDefinition | undefined) => agent && found.set(agent.name, agent);
  if (!Array.isArray(agents)) {
    for (const [name, value] of Object.entries(agents))
      keep(agentOf(document, ["agents", name], name, value, findings));
    return found;
  }
  for (const [index, name] of agents.entries()) {
    keep(
      await agentFile(
        model,
        root,
        name,
        (text) => findings.error(document, ["agents", index], text),
        findings,
      ),
    );
  }
  if (manager !== undefined && !agents.includes(manager)) {
    keep(
      await agentFile(
        model,
        root,
        manager,
        (text) => findings.error(document, ["manager_agent"], text),
        findings,
      ),
    );
  }
  return found;
}

async function agentFile(
  model: ModelSpec,
  root: string,
  name: string,
  missing: (text: string) => void,
  findings: Findings,
): Promise<AgentDefinition | undefined> {
  const plain = /^[^/\\]+$/.test(name);
  const file = [".jsonc", ".json"]
    .map((end) => join(root, "agents", name + end))
    .find((path) => plain && existsSync(path));
  if (file === undefined) {
    missing(`there is no agent '${name}': no file agents/${name}.jsonc`);
    return undefined;
  }
  const document = await readProjectFile(model, root, file);
  return agentOf(document, [], name, document.value, findings);
}

function agentOf(
  document: Document,
  path: readonly (string | number)[],
  name: string,
  value: unknown,
  findings: Findings,
): AgentDefinition | undefined {
  const fields = findings.fields(document, path, value, agentFields);
  return fields && { name, document, path, fields };
}

function taskOf(
  document: Document,
  path: readonly (string | number)[],
  fallback: string,
  value: unknown,
  findings: Findings,
): TaskDefinition | undefined {
  if (isFields(value) && typeof value.type === "string" && /condition/i.test(value.type)) {
    findings.error(
      document,
      [...path, "type"],
      "a conditional task has a condition in Python: make it a plain task",
    );
    return undefined;
  }
  const fields = findings.fields(document, path, value, taskFields);
  return fields && { name: fields.name ?? fallback, document, path, fields };
}

async function readClassic(
  model: ModelSpec,
  project: Extract<Project, { agents: string }>,
  findings: Findings,
): Promise<CrewDefinition> {
  const agents = await readProjectFile(model, project.root, project.agents);
  const tasks = await readProjectFile(model, project.root, project.tasks);
  const agentList = Object.entries(agents.value).map(([name, value]) =>
    agentOf(agents, [name], name, value, findings),
  );
  const taskList = Object.entries(tasks.value).map(([name, value]) =>
    taskOf(tasks, [name], name, value, findings),
  );
  return {
    agents: new Map(agentList.filter((agent) => agent !== undefined).map((agent) => [agent.name, agent])),
    tasks: taskList.filter((task) => task !== undefined),
    inputs: {},
  };
}
