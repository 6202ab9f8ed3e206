import type { Message } from "../../src/contracts/index.ts";
import type { Agent } from "./crew.ts";
import type { Tool } from "./tool.ts";

/** What an agent has to do, with the placeholders filled. */
export interface Assignment {
  readonly description: string;
  readonly expectedOutput: string;
  /** What the tasks before it gave; "" where there is none. */
  readonly context: string;
  /** Further rules for the answer. */
  readonly rules: readonly string[];
}

export type Person = Pick<Agent["fields"], "role" | "goal" | "backstory" | "use_system_prompt">;

/** The messages with which an agent begins a task. */
export function opening(person: Person, assignment: Assignment, manual?: string): Message[] {
  const self = [
    `You are ${person.role}. ${person.backstory}`,
    `Your goal: ${person.goal}`,
    ...(manual ? [manual] : []),
  ];
  const work = taskText(assignment);
  if (person.use_system_prompt === false) return [user([...self, work].join("\n\n"))];
  return [{ role: "system", content: self.join("\n\n") }, user(work)];
}

function taskText({ description, expectedOutput, context, rules }: Assignment): string {
  const parts = [`Your task: ${description}`, `Expected answer: ${expectedOutput}`, ...rules];
  if (context !== "") parts.push(`What is known from the tasks before:\n${context}`);
  return parts.join("\n\n");
}

/** How to use tools in plain text: ReAct, with the words that CrewAI has for it (Yao et al., 2022). */
export function manual(tools: readonly Tool[]): string {
  const list = tools.map(({ name, description, parameters }) => {
    return `- ${name}: ${description} Arguments (JSON Schema): ${JSON.stringify(withoutDialect(parameters))}`;
  });
  return [
    "You may use these tools:",
    ...list,
    "To use one, write exactly these three lines, and stop:",
    "Thought: what you need to know",
    `Action: one of ${tools.map(({ name }) => name).join(", ")}`,
    "Action Input: the arguments as one JSON object",
    "You then get a line that begins with Observation. When you know the answer, write:",
    "Thought: I know the answer",
    "Final Answer: the whole answer",
  ].join("\n");
}

function withoutDialect({ $schema: _, ...schema }: Readonly<Record<string, unknown>>): object {
  return schema;
}

/** After `max_iter` calls. */
export const ENOUGH = "That was enough work: use no more tools, and write your best answer now.";
export const ENOUGH_REACT = `${ENOUGH} Begin it with "Final Answer:".`;

export const NEITHER =
  'Error: that was neither an action nor an answer. Write "Action:" and "Action Input:", or "Final Answer:".';

export function user(content: string): Message {
  return { role: "user", content };
}

/** As OpenAI defines tools. */
export function toolDefinitions(tools: readonly Tool[]): object[] {
  return tools.map(({ name, description, parameters }) => {
    return { type: "function", function: { name, description, parameters } };
  });
}
