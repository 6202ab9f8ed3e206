import type { Message } from "../../src/contracts/index.ts";
import type { UsedModel } from "./models.ts";
import type { CrewOptions } from "./options.ts";
import type { Person } from "./prompts.ts";
import type { Doer, Listener, Reply } from "./run.ts";
import type { Tool } from "./tool.ts";

/** An agent at work on one task. */
export interface Worker {
  readonly doer: Doer;
  readonly person: Person;
  readonly llm: UsedModel;
  readonly tools: readonly Tool[];
  readonly maxIter: number;
  readonly toolCalling: CrewOptions["tool_calling"];
  /** Hears the answer's text, and nothing of what led to it. */
  readonly listen?: Listener | undefined;
}

/** What an agent answered, and the conversation that led there. */
export interface Answer {
  readonly text: string;
  readonly reason: Reply["reason"];
  readonly messages: readonly Message[];
}
