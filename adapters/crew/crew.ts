import type { Call, Host, ModelSpec } from "../../src/contracts/index.ts";
import type { AgentDefinition, CrewDefinition, TaskDefinition } from "./definition.ts";
import { failed } from "./failed.ts";
import type { AgentFields, TaskFields } from "./fields.ts";
import type { Inputs } from "./inputs.ts";
import { type JsonFormat, jsonFormat } from "./json-output.ts";
import { Models, type UsedModel } from "./models.ts";
import { type CrewOptions, type NamedModel, type Reference, referenceOf } from "./options.ts";
import { placeholdersOf } from "./placeholders.ts";
import type { Tool } from "./tool.ts";
import type { Toolbox } from "./tools.ts";

export interface Agent {
  readonly name: string;
  readonly fields: AgentFields;
  readonly llm: UsedModel;
  readonly tools: readonly Tool[];
  readonly maxIter: number;
}

export interface Task {
  readonly name: string;
  readonly fields: TaskFields;
  readonly agent: Agent | undefined;
  /** In place of the agent's. */
  readonly tools: readonly Tool[] | undefined;
  readonly json: JsonFormat | undefined;
}

/** A crew that can work. */
export interface Crew {
  readonly agents: readonly Agent[];
  readonly tasks: readonly Task[];
  /** Present in a hierarchical crew: it does each task, and delegates. */
  readonly manager: Agent | undefined;
  readonly inputs: Inputs;
  readonly toolCalling: CrewOptions["tool_calling"];
}

/** Who manages a crew that names nobody. */
const MANAGER: AgentFields = {
  role: "Manager of the crew",
  goal: "See that each task is done, by the coworker who can do it best, and answer with a result that is complete.",
  backstory:
    "You know what your coworkers can do, tell them all that they need to know, and check what they give you.",
};

export interface CrewParts {
  readonly model: ModelSpec;
  readonly definition: CrewDefinition;
  readonly options: CrewOptions;
  readonly toolbox: Toolbox;
  readonly host: Host;
  readonly opened: AsyncDisposableStack;
}

/** @throws CapstanError LOAD_FAILED */
export async function openCrew(parts: CrewParts, call: Call): Promise<Crew> {
  const { model, definition, options, host, opened } = parts;
  const models = new Models(model, host, opened);
  const agents = new Map<string, Agent>();
  for (const agent of definition.agents.values())
    agents.set(agent.name, await openAgent(agent, parts, models, call));
  const manager = await openManager(parts, agents, models, call);
  const tasks: Task[] = [];
  for (const task of definition.tasks) tasks.push(await openTask(task, agents, parts, call));
  return {
    agents: [...agents.values()].filter((agent) => agent !== manager),
    tasks,
    manager,
    inputs: { names: placeholdersOf(textsOf(definition)), defaults: definition.inputs },
    toolCalling: options.tool_calling,
  };
}

async function openAgent(
  { name, fields, document, path }: AgentDefinition,
  { model, options, toolbox }: CrewParts,
  models: Models,
  call: Call,
): Promise<Agent> {
  const where = document.place([...path, "llm"]);
  const llm = await models.open(modelOf(fields.llm, options, model, where), call);
  return {
    name,
    fields,
    llm,
    tools: await openTools(fields.tools ?? [], toolbox, call),
    maxIter: fields.max_iter ?? options.max_iter,
  };
}

async function openTask(
  { name, fields, document, path }: TaskDefinition,
  agents: ReadonlyMap<string, Agent>,
  { toolbox }: CrewParts,
  call: Call,
): Promise<Task> {
  const agent = fields.agent === undefined ? undefined : agents.get(fields.agent);
  const tools = fields.tools === undefined ? undefined : await openTools(fields.tools, toolbox, call);
  const json = jsonFormat(fields.output_json, document.place([...path, "output_json"]));
  return { name, fields, agent, tools, json };
}

async function openManager(
  { definition, options, model }: CrewParts,
  agents: ReadonlyMap<string, Agent>,
  models: Models,
  call: Call,
): Promise<Agent | undefined> {
  if ((options.process ?? definition.process) !== "hierarchical") return undefined;
  const named = options.manager_agent ?? definition.managerAgent;
  if (named !== undefined) return agents.get(named);
  const reference = options.manager_llm ?? modelOf(definition.managerLlm, options, model, "manager_llm");
  return {
    name: "manager",
    fields: MANAGER,
    llm: await models.open(reference, call),
    tools: [],
    maxIter: options.max_iter,
  };
}

async function openTools(names: readonly string[], toolbox: Toolbox, call: Call): Promise<Tool[]> {
  const tools: Tool[] = [];
  for (const name of names) tools.push(await toolbox.open(name, call));
  return tools;
}

function modelOf(
  named: NamedModel | undefined,
  options: CrewOptions,
  model: ModelSpec,
  where: string,
): Reference {
  if (named === undefined) {
    if (options.llm !== undefined) return options.llm;
    throw failed(
      model,
      `${where}: no language model is named, here or as llm in parameters.extra: "capstan:<model>" or an address`,
    );
  }
  const reference = referenceOf(named, options);
  if (reference !== undefined) return reference;
  const text = `is "${named as string}", which is neither "capstan:<model>" nor an address`;
  throw failed(model, `${where}: ${text}; say what stands for it in parameters.extra.llms`);
}

function textsOf({ agents, tasks }: CrewDefinition): string[] {
  return [
    ...[...agents.values()].flatMap(({ fields: { role, goal, backstory } }) => [role, goal, backstory]),
    ...tasks.flatMap(({ fields: { description, expected_output } }) => [description, expected_output]),
  ];
}
