import type { AgentDefinition, CrewDefinition, TaskDefinition, Written } from "./definition.ts";
import { type Findings, hint } from "./findings.ts";
import type { CrewOptions } from "./options.ts";
import type { Toolbox } from "./tools.ts";

/** Whether what the files of a crew name is there: agents, earlier tasks, tools. */
export function checkLinks(
  crew: CrewDefinition,
  options: CrewOptions,
  toolbox: Toolbox,
  findings: Findings,
): void {
  const names = [...crew.agents.keys()];
  const hierarchical = (options.process ?? crew.process) === "hierarchical";
  const earlier = new Set<string>();
  for (const task of crew.tasks) {
    checkAgent(task, names, hierarchical, findings);
    checkContext(task, crew, earlier, findings);
    checkTools(task, task.fields.tools, toolbox, findings);
    if (earlier.has(task.name)) report(task, "name", `there is another task '${task.name}'`, findings);
    earlier.add(task.name);
  }
  for (const agent of crew.agents.values()) checkTools(agent, agent.fields.tools, toolbox, findings);
  checkManager(crew, options, names, findings);
}

function checkAgent(
  task: TaskDefinition,
  names: readonly string[],
  hierarchical: boolean,
  findings: Findings,
): void {
  const { agent } = task.fields;
  if (agent === undefined && !hierarchical)
    report(task, "agent", "is missing: name who does the task", findings);
  if (agent === undefined || names.includes(agent)) return;
  report(
    task,
    "agent",
    `there is no agent '${agent}'; there is ${names.join(", ")}${hint(agent, names)}`,
    findings,
  );
}

function checkContext(
  task: TaskDefinition,
  { tasks }: CrewDefinition,
  earlier: ReadonlySet<string>,
  findings: Findings,
): void {
  for (const name of task.fields.context ?? []) {
    if (earlier.has(name)) continue;
    const later = tasks.some((each) => each.name === name);
    const what = later
      ? `task '${name}' does not come before this one`
      : `there is no task '${name}'${hint(name, [...earlier])}`;
    report(task, "context", what, findings);
  }
}

function checkTools(
  owner: AgentDefinition | TaskDefinition,
  tools: readonly string[] = [],
  toolbox: Toolbox,
  findings: Findings,
): void {
  for (const name of tools) {
    const fault = toolbox.missing(name);
    if (fault !== undefined) report(owner, "tools", fault, findings);
  }
}

function checkManager(
  crew: CrewDefinition,
  options: CrewOptions,
  names: readonly string[],
  findings: Findings,
): void {
  const manager = options.manager_agent ?? crew.managerAgent;
  const [first] = crew.tasks;
  if (manager === undefined || names.includes(manager) || first === undefined) return;
  const text = `manager_agent: there is no agent '${manager}'; there is ${names.join(", ")}${hint(manager, names)}`;
  findings.error(first.document, [], text);
}

function report({ document, path }: Written, key: string, text: string, findings: Findings): void {
  findings.error(document, [...path, key], text);
}
