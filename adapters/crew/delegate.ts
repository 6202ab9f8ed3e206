import { z } from "zod";
import { type Tool, ToolFault } from "./tool.ts";

/** Somebody to whom work can be given. */
export interface Coworker {
  readonly name: string;
  readonly role: string;
  /** Does what is asked, knowing nothing but `context`. */
  work(task: string, context: string): Promise<string>;
}

const told = {
  context: z.string().default("").describe("All that the coworker must know: nothing else is told"),
  coworker: z.string().describe("Name or role of the coworker"),
};

const delegation = z.object({ task: z.string().describe("What is to be done"), ...told });
const question = z.object({ question: z.string(), ...told });

/** CrewAI's two tools for work between agents, under its names. */
export function delegationTools(coworkers: readonly Coworker[]): Tool[] {
  if (coworkers.length === 0) return [];
  const who = `Coworkers: ${coworkers.map(({ name, role }) => `${name} (${role})`).join(", ")}.`;
  return [
    tool(
      "delegate_work_to_coworker",
      `Gives a task to a coworker. ${who}`,
      delegation,
      ({ coworker, task, context }) => find(coworkers, coworker).work(task, context),
    ),
    tool("ask_question_to_coworker", `Asks a coworker a question. ${who}`, question, (asked) =>
      find(coworkers, asked.coworker).work(asked.question, asked.context),
    ),
  ];
}

function tool<T>(
  name: string,
  description: string,
  schema: z.ZodType<T>,
  run: (args: T) => Promise<string>,
): Tool {
  return {
    name,
    description,
    parameters: z.toJSONSchema(schema, { io: "input" }),
    async run(args) {
      const checked = schema.safeParse(args);
      if (!checked.success)
        throw new ToolFault(`the arguments do not fit: ${z.prettifyError(checked.error)}`);
      return run(checked.data);
    },
  };
}

/** Models write roles as they like. */
function find(coworkers: readonly Coworker[], asked: string): Coworker {
  const plain = (text: string) =>
    text
      .toLowerCase()
      .replace(/[\s"'_-]+/g, " ")
      .trim();
  const found = coworkers.find(({ name, role }) => [plain(name), plain(role)].includes(plain(asked)));
  if (found !== undefined) return found;
  throw new ToolFault(
    `there is no coworker '${asked}'; there is ${coworkers.map(({ name }) => name).join(", ")}`,
  );
}
