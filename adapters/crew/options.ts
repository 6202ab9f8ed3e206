import { z } from "zod";
import { MODEL_ADDRESS, MODEL_ADDRESS_TEXT } from "../../src/contracts/index.ts";

/** A model of this server, or an OpenAI-compatible upstream: its address, or options of the adapter `openai`. */
const reference = z.union([
  z.string().regex(MODEL_ADDRESS, MODEL_ADDRESS_TEXT),
  z.looseObject({ base_url: z.unknown() }),
]);

export type Reference = z.output<typeof reference>;

/** What `parameters.extra` may say about a crew. */
export const crewOptions = z.strictObject({
  /** Of each agent that names none itself. */
  llm: reference.optional(),
  /** What stands for the models that the crew's files name in CrewAI's way, such as `openai/gpt-4o`. */
  llms: z.record(z.string().min(1), reference).default({}),
  /** How agents call tools: by the model's own tool calls, by a text format, or by the first where the model can. */
  tool_calling: z.enum(["auto", "native", "react"]).default("auto"),
  /** Model calls of one agent for one task, where the agent's file does not say. CrewAI's default. */
  max_iter: z.int().min(1).max(1000).default(25),
  /** In place of the file's; the classic form has no file for it. */
  process: z.enum(["sequential", "hierarchical"]).optional(),
  manager_llm: reference.optional(),
  /** Name of an agent. */
  manager_agent: z.string().min(1).optional(),
});

export type CrewOptions = z.output<typeof crewOptions>;

/** What a crew's file may give as `llm`; a name is looked up in `llms`. */
export const namedModel = z.union([z.string().min(1), z.looseObject({ base_url: z.unknown() })]);

export type NamedModel = z.output<typeof namedModel>;

/** The model that a file's `llm` stands for; undefined for a name that the settings do not explain. */
export function referenceOf(named: NamedModel, { llms }: CrewOptions): Reference | undefined {
  if (typeof named !== "string" || MODEL_ADDRESS.test(named)) return named;
  return Object.hasOwn(llms, named) ? llms[named] : undefined;
}
