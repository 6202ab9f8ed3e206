import { CompletionFold, type Part, toCapstanError, type Usage } from "../contracts/index.ts";
import type { CallScope } from "../host/call.ts";

/** What a finished task of an application gave, in the words of CrewAI's status. */
export interface TaskResult {
  readonly task_id: unknown;
  readonly agent: unknown;
  readonly output: unknown;
}

/** An application at work, or what came of it. */
export class KickoffRun {
  readonly id: string;
  readonly model: string;
  /** Who started it; nobody else sees it. */
  readonly owner: string;
  readonly done: Promise<void>;
  readonly #call: CallScope;
  readonly #started = performance.now();
  readonly #fold = new CompletionFold();
  readonly #tasks: TaskResult[] = [];
  #state: "PENDING" | "RUNNING" | "SUCCESS" | "FAILED" = "PENDING";
  #lastStep: Readonly<Record<string, unknown>> | undefined;
  #result: { readonly text: string; readonly usage: Usage } | undefined;
  #error: string | undefined;
  #seconds: number | undefined;

  constructor(model: string, owner: string, call: CallScope, parts: AsyncIterable<Part>) {
    this.id = call.requestId;
    this.model = model;
    this.owner = owner;
    this.#call = call;
    this.done = this.#run(parts);
  }

  readonly cancel = (reason: string): void => this.#call.cancel(reason);

  /**
   * The answer to `GET /status/{kickoff_id}`: the fields of CrewAI AMP's API reference, and `state` and `last_step`, which
   * its clients poll for.
   */
  status(): object {
    const { task } = this.#lastStep ?? {};
    return {
      kickoff_id: this.id,
      state: this.#state,
      status: STATUS[this.#state],
      ...(this.#state === "RUNNING" ? { current_task: task ?? null } : {}),
      progress: { completed_tasks: this.#tasks.length },
      last_step: this.#lastStep ?? null,
      last_executed_task: this.#tasks.at(-1) ?? null,
      result: this.#result?.text ?? null,
      result_json: this.#result === undefined ? null : jsonOf(this.#result.text),
      tasks: this.#tasks,
      ...(this.#error === undefined ? {} : { error: this.#error }),
      ...(this.#result === undefined ? {} : { usage: usageOf(this.#result.usage) }),
      execution_time: this.#seconds ?? this.#elapsed(),
    };
  }

  async #run(parts: AsyncIterable<Part>): Promise<void> {
    try {
      for await (const part of parts) this.#add(part);
      const { choices, usage } = this.#fold.finish();
      this.#result = { text: choices[0]!.text, usage };
      this.#state = "SUCCESS";
    } catch (thrown) {
      const error = toCapstanError(thrown);
      const hidden = `Internal error; the server's log has it under request id ${this.id}`;
      if (error.code === "INTERNAL") this.#call.log.error({ err: error.cause ?? error }, error.message);
      this.#error = error.code === "INTERNAL" ? hidden : error.message;
      this.#state = "FAILED";
    } finally {
      this.#seconds = this.#elapsed();
      this.#call.end();
    }
  }

  #add(part: Part): void {
    this.#state = "RUNNING";
    this.#fold.add(part);
    if (part.type !== "step") return;
    const detail = typeof part.detail === "object" ? (part.detail as Readonly<Record<string, unknown>>) : {};
    this.#lastStep = { name: part.name, ...detail };
    if (detail.kind !== "task_finished") return;
    this.#tasks.push({ task_id: detail.task, agent: detail.agent, output: detail.output });
  }

  #elapsed(): number {
    return Math.round(performance.now() - this.#started) / 1000;
  }
}

const STATUS = { PENDING: "running", RUNNING: "running", SUCCESS: "completed", FAILED: "error" } as const;

function usageOf({ inputTokens, outputTokens }: Usage) {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

/** The result where it is a JSON object or list, as tasks with `output_json` give it. */
function jsonOf(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
