import type { ApplicationInput, Call, CapLLM, ChatRequest, Part } from "../../src/contracts/index.ts";
import type { Crew } from "./crew.ts";
import { inputsOf } from "./inputs.ts";
import { Outlet } from "./outlet.ts";
import type { Values } from "./placeholders.ts";
import { Run } from "./run.ts";
import { doTasks } from "./schedule.ts";

/** A crew as a language model. */
export class CrewModel implements CapLLM {
  readonly inputs: readonly ApplicationInput[];
  readonly #crew: Crew;
  readonly #resources: AsyncDisposableStack;

  constructor(crew: Crew, resources: AsyncDisposableStack) {
    const { names, defaults } = crew.inputs;
    this.inputs = names.map((name) => (Object.hasOwn(defaults, name) ? { name, optional: true } : { name }));
    this.#crew = crew;
    this.#resources = resources;
  }

  /**
   * Steps `crew_step` ({ task, agent, kind, ... }) of all tasks, and the text of the last one. The usage is that of all
   * model calls together.
   */
  async *streamTokens(request: ChatRequest, call: Call): AsyncGenerator<Part> {
    call.signal.throwIfAborted();
    const values = inputsOf(request, this.#crew.inputs);
    const scope = new Scope(call);
    try {
      yield* this.#answer(request, values, scope);
    } catch (error) {
      throw call.signal.aborted ? call.signal.reason : error;
    } finally {
      scope.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  async *#answer({ sampling }: ChatRequest, values: Values, scope: Scope): AsyncGenerator<Part> {
    const outlet = new Outlet();
    const run = new Run(scope.call, sampling, outlet);
    const work = doTasks({ crew: this.#crew, values, run });
    const over = work.then(
      () => outlet.end(),
      (error) => {
        scope.stop(error);
        outlet.end({ error });
      },
    );
    try {
      yield* outlet.read();
      const { reason } = await work;
      yield { type: "finish", choice: 0, reason, usage: run.usage };
    } finally {
      scope.stop(new DOMException("Nobody reads the crew's answer any more", "AbortError"));
      await over;
    }
  }
}

/** The circumstances of a crew's work: it stops with the caller, when a task fails, and when its reader leaves. */
class Scope {
  readonly call: Call;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #abort = () => this.stop(this.#outer.reason);

  constructor({ record: _, ...call }: Call) {
    this.#outer = call.signal;
    this.call = { ...call, signal: this.#controller.signal };
    this.#outer.addEventListener("abort", this.#abort, { once: true });
  }

  stop(reason: unknown): void {
    this.#controller.abort(reason);
  }

  end(): void {
    this.#outer.removeEventListener("abort", this.#abort);
  }
}
