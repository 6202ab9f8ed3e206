import { CapstanError } from "../../src/contracts/index.ts";
import { answerNow, work } from "./agent.ts";
import type { Agent, Crew, Task } from "./crew.ts";
import { type Coworker, delegationTools } from "./delegate.ts";
import type { JsonFormat } from "./json-output.ts";
import { fill, type Values } from "./placeholders.ts";
import { type Assignment, type Person, user } from "./prompts.ts";
import type { Listener, Run } from "./run.ts";
import type { Tool } from "./tool.ts";
import type { Answer, Worker } from "./worker.ts";

/** What the tasks of one run have in common. */
export interface Job {
  readonly crew: Crew;
  readonly values: Values;
  readonly run: Run;
}

export interface Outcome {
  readonly text: string;
  readonly reason: Answer["reason"];
}

/**
 * Does one task.
 * @param listen hears the answer while it is written.
 * @throws CapstanError UPSTREAM when the answer must be JSON and is not, also the second time.
 */
export async function doTask(
  task: Task,
  context: string,
  job: Job,
  listen: Listener | undefined,
): Promise<Outcome> {
  const { run, crew } = job;
  // One of them is there: that was checked when the crew was loaded.
  const agent = (crew.manager ?? task.agent)!;
  const worker = {
    ...workerOf(agent, toolsOf(task, agent, job), task.name, job),
    listen: task.json ? undefined : listen,
  };
  await run.step(worker.doer, "task_started");
  const answer = await work(worker, assignmentOf(task, context, job.values), run);
  const outcome = task.json === undefined ? answer : await jsonOutcome(worker, answer, task.json, run);
  if (task.json !== undefined) await listen?.(outcome.text);
  await run.step(worker.doer, "task_finished", { output: outcome.text });
  return { text: outcome.text, reason: outcome.reason };
}

function assignmentOf({ fields, json }: Task, context: string, values: Values): Assignment {
  return {
    description: fill(fields.description, values),
    expectedOutput: fill(fields.expected_output, values),
    context,
    rules: [
      ...(json ? [json.instruction] : []),
      ...(fields.markdown ? ["Write the answer in Markdown."] : []),
    ],
  };
}

function workerOf(agent: Agent, tools: readonly Tool[], task: string, { crew, values }: Job): Worker {
  return {
    doer: { task, agent: agent.name },
    person: personOf(agent, values),
    llm: agent.llm,
    tools,
    maxIter: agent.maxIter,
    toolCalling: crew.toolCalling,
  };
}

function personOf({ fields }: Agent, values: Values): Person {
  const { role, goal, backstory } = fields;
  return {
    ...fields,
    role: fill(role, values),
    goal: fill(goal, values),
    backstory: fill(backstory, values),
  };
}

/** The manager may give a task only to the agent it names, where it names one. */
function toolsOf(task: Task, agent: Agent, job: Job): Tool[] {
  const { agents, manager } = job.crew;
  const own = task.tools ?? agent.tools;
  if (manager !== undefined) {
    const coworkers = task.agent === undefined || task.agent === manager ? agents : [task.agent];
    return [...agent.tools, ...delegationTools(coworkers.map((each) => coworker(each, task, job)))];
  }
  if (agent.fields.allow_delegation !== true) return [...own];
  const others = agents.filter((each) => each !== agent);
  return [...own, ...delegationTools(others.map((each) => coworker(each, task, job)))];
}

/** Somebody who is given work does it alone: work is not passed on without end. */
function coworker(agent: Agent, task: Task, job: Job): Coworker {
  const { run } = job;
  const worker = workerOf(agent, task.tools ?? agent.tools, task.name, job);
  return {
    name: agent.name,
    role: worker.person.role,
    async work(description, context) {
      await run.step(worker.doer, "delegated", { work: description });
      const assignment = { description, expectedOutput: "Your best and complete answer", context, rules: [] };
      const { text } = await work(worker, assignment, run);
      return text.trim();
    },
  };
}

async function jsonOutcome(worker: Worker, answer: Answer, format: JsonFormat, run: Run): Promise<Outcome> {
  const first = parsed(answer.text, format);
  if (first.fault === undefined) return { ...answer, text: first.text };
  await run.step(worker.doer, "json_repair", { error: first.fault });
  const again = user(`That answer cannot be used: ${first.fault}\n${format.instruction}`);
  const second = await answerNow(worker, [...answer.messages, again], run);
  const { text, fault } = parsed(second.text, format);
  if (fault === undefined) return { text, reason: second.reason };
  const { task, agent } = worker.doer;
  throw new CapstanError(
    "UPSTREAM",
    `Task '${task}' needs JSON, and ${agent}'s answer is not what it needs: ${fault}`,
  );
}

function parsed(answer: string, format: JsonFormat): { readonly text: string; readonly fault?: string } {
  try {
    return { text: JSON.stringify(format.parse(answer)) };
  } catch (error) {
    return { text: "", fault: (error as Error).message };
  }
}
