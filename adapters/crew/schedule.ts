import type { Task } from "./crew.ts";
import { doTask, type Job, type Outcome } from "./task.ts";

/**
 * Does all tasks of a crew, and gives what the last one gave. As in CrewAI, a task waits for those before it; one with
 * `async_execution` only for those that were waited for already, and for its context.
 */
export async function doTasks(job: Job): Promise<Outcome> {
  const { tasks } = job.crew;
  const started: Promise<Outcome>[] = [];
  let waitedFor = 0;
  for (const [index, task] of tasks.entries()) {
    const known = task.fields.async_execution === true ? waitedFor : index;
    const needed = task.fields.context === undefined ? upTo(known) : indices(task.fields.context, tasks);
    const before = new Set([...upTo(known), ...needed]);
    started.push(start(task, index, before, needed, started, job));
    if (task.fields.async_execution !== true) waitedFor = index + 1;
  }
  const outcomes = await Promise.all(started);
  return outcomes.at(-1)!;
}

async function start(
  task: Task,
  index: number,
  before: ReadonlySet<number>,
  needed: readonly number[],
  started: readonly Promise<Outcome>[],
  job: Job,
): Promise<Outcome> {
  await Promise.all([...before].map((each) => started[each]));
  const contexts = await Promise.all(needed.map((each) => started[each]!));
  const context = contexts.map(({ text }) => text.trim()).join("\n\n----------\n\n");
  const isLast = index === job.crew.tasks.length - 1;
  return doTask(task, context, job, isLast ? (text) => job.run.text(text) : undefined);
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index);

function indices(names: readonly string[], tasks: readonly Task[]): number[] {
  return names.map((name) => tasks.findIndex((task) => task.name === name));
}
