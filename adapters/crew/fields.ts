import { z } from "zod";
import { namedModel } from "./options.ts";

/**
 * The fields of CrewAI's project files (docs.crewai.com, "Agents", "Tasks", "Crews"): those that work here as schemas,
 * those that have no effect by name. Any other is a mistake.
 */
export interface FieldSet<T> {
  readonly schema: z.ZodType<T>;
  readonly shape: Readonly<Record<string, unknown>>;
  readonly withoutEffect: ReadonlySet<string>;
  /** What would change the answers if it were left out, with the reason why it is refused. */
  readonly refused: Readonly<Record<string, string>>;
}

const text = z.string("must be a text").transform((value) => value.trim());
const names = z.array(z.string("must be a name"), "must be a list of names");
const optional = <T extends z.ZodType>(schema: T) => schema.optional();
const truth = z.boolean("must be true or false");

const SILENT = ["verbose", "name", "type", "cache"];
const GUARDRAIL =
  "guardrails are Python's or ask a model that judges: check the answer in whoever calls this model";

const agentShape = {
  role: text,
  goal: text,
  backstory: text,
  llm: optional(namedModel),
  tools: optional(names),
  max_iter: optional(z.int().min(1).max(1000)),
  allow_delegation: optional(truth),
  use_system_prompt: optional(truth),
};

const taskShape = {
  name: optional(text),
  description: text,
  expected_output: text,
  agent: optional(text),
  context: optional(names),
  tools: optional(names),
  async_execution: optional(truth),
  human_input: optional(
    z.literal(false, "must be false: nobody is there to be asked while a request is answered"),
  ),
  markdown: optional(truth),
  output_json: optional(
    z.union(
      [z.literal(true), z.looseObject({})],
      "must be true, or a JSON Schema: a class of Python's cannot be used here",
    ),
  ),
};

const crewShape = {
  agents: z.union(
    [names.min(1), z.record(z.string(), z.unknown())],
    "must be a list of names of files in agents/",
  ),
  tasks: z.array(z.unknown(), "must be a list of tasks").min(1, "must have at least one task"),
  process: optional(z.enum(["sequential", "hierarchical"])),
  manager_llm: optional(namedModel),
  manager_agent: optional(text),
  inputs: optional(z.record(z.string(), z.unknown())),
};

export const agentFields = fieldSet(agentShape, {
  withoutEffect: [
    ...["max_rpm", "max_execution_time", "max_retry_limit", "max_tokens", "respect_context_window"],
    ...["system_template", "prompt_template", "response_template", "function_calling_llm", "i18n"],
    ...["memory", "embedder", "knowledge_sources", "knowledge_config", "skills", "apps", "mcps", "a2a"],
    ...["allow_code_execution", "code_execution_mode", "multimodal", "inject_date", "date_format"],
    ...["reasoning", "max_reasoning_attempts", "planning", "planning_config", "step_callback", "callbacks"],
    ...["security_config", "checkpoint", "from_repository", "agent_executor", "executor_class", "config"],
    "guardrail_max_retries",
  ],
  refused: { guardrail: GUARDRAIL },
});

export const taskFields = fieldSet(taskShape, {
  withoutEffect: [
    ...["output_file", "create_directory", "callback", "converter_cls", "prompt_context", "input_files"],
    ...["max_retries", "guardrail_max_retries", "security_config", "allow_crewai_trigger_context", "config"],
  ],
  refused: {
    guardrail: GUARDRAIL,
    guardrails: GUARDRAIL,
    condition: "a condition is Python's: make two crews, or let an agent decide",
    output_pydantic: "a Pydantic class is Python's: give its JSON Schema as output_json",
    response_model: "a Pydantic class is Python's: give its JSON Schema as output_json",
  },
});

export const crewFields = fieldSet(crewShape, {
  withoutEffect: [
    ...[
      "memory",
      "embedder",
      "knowledge_sources",
      "skills",
      "planning",
      "planning_llm",
      "chat_llm",
      "max_rpm",
    ],
    ...["function_calling_llm", "step_callback", "task_callback", "before_kickoff_callbacks", "stream"],
    ...["after_kickoff_callbacks", "share_crew", "output_log_file", "prompt_file", "full_output", "language"],
    ...["config", "tracing", "security_config", "checkpoint", "manager_callbacks"],
  ],
  refused: {},
});

export type AgentFields = z.output<typeof agentFields.schema>;
export type TaskFields = z.output<typeof taskFields.schema>;
export type CrewFields = z.output<typeof crewFields.schema>;

function fieldSet<S extends z.ZodRawShape>(
  shape: S,
  { withoutEffect, refused }: { withoutEffect: string[]; refused: Record<string, string> },
): FieldSet<z.output<z.ZodObject<S>>> {
  return {
    schema: z.object(shape) as unknown as z.ZodType<z.output<z.ZodObject<S>>>,
    shape,
    withoutEffect: new Set(withoutEffect),
    refused,
  };
}

/** Fields that only say how much CrewAI prints, or what is so here anyway. */
export const isSilent = (key: string) => SILENT.includes(key);
