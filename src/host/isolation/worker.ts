import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError, type Log } from "../../contracts/index.ts";
import { userCodeCounts } from "../user-code/counts.ts";
import type { Service } from "./answers.ts";
import { isolationCounts } from "./counts.ts";
import { type Isolate, type IsolateKind, startIsolate } from "./isolate.ts";
import { Peer } from "./peer.ts";
import type { Described, Task } from "./task.ts";

export interface WorkerParts {
  readonly kind: IsolateKind;
  readonly task: Task;
  readonly service: Service;
  readonly log: Log;
}

/** Milliseconds in which a side that was asked to stop must turn its event loop. */
const GRACE_MS = 1000;
/** How often that time may pass while a model is freed. */
const PATIENCE = 10;

/** Counted for tests and metrics: a worker that was not joined would stay. */
export const workerCounts = { started: 0, joined: 0 };

/** One model in a thread or process of its own. */
export class ModelWorker implements AsyncDisposable {
  readonly peer: Peer;
  /** Why it has ended; never rejects. */
  readonly ended: Promise<string>;
  described: Described = {};
  ready = true;
  readonly #parts: WorkerParts;
  readonly #isolate: Isolate;
  #generations = 0;
  #over = false;
  #killed = false;
  #watching = false;
  #disposal: Promise<void> | undefined;

  /** @throws CapstanError of the load; the thread or process has ended then. */
  static async start(parts: WorkerParts, call: Call): Promise<ModelWorker> {
    const worker = new ModelWorker(parts);
    try {
      worker.described = await worker.peer.ask<Described>("load", parts.task, call);
      return worker;
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#isolate = startIsolate(parts.kind, parts.task.model.name);
    workerCounts.started += 1;
    this.peer = new Peer(this.#isolate.link, parts.service, parts.log);
    this.peer.onNote = (name, value) => this.#note(name, value);
    this.peer.onAbort = () => void this.#watch();
    const live = { model: parts.task.model.name, pid: this.#isolate.pid };
    isolationCounts.live.add(live);
    this.ended = this.#isolate.ended.then((why) => {
      isolationCounts.live.delete(live);
      return this.#end(why);
    });
  }

  /** Whether it did more than load. */
  get hasAnswered(): boolean {
    return this.peer.answered > 1;
  }

  /** Ends it when what it was asked is answered, and waits for that. Safe to call twice. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    const call = { signal: new AbortController().signal, requestId: "dispose", log: this.#parts.log };
    const asked = this.peer.ask("dispose", undefined, call).catch((error: unknown) => {
      if (!this.#over) this.#warn(error);
    });
    await this.#patiently(asked);
    this.peer.note("exit", undefined);
    await this.#patiently(this.ended);
    if (!this.#over && !this.#isolate.kill()) return;
    await this.ended;
  }

  /** Waits for work as long as the other side turns its event loop, and not for ever. */
  async #patiently(work: Promise<unknown>): Promise<void> {
    for (let round = 0; round < PATIENCE; round++) {
      if (!(await this.#within(work)).late) return;
      await this.#watch();
    }
  }

  #warn(err: unknown): void {
    const { model } = this.#parts.task;
    this.#parts.log.warn({ model: model.name, err }, "The isolated model was not freed cleanly");
  }

  #note(name: string, value: unknown): void {
    if (name === "ready") this.ready = value as boolean;
    else if (name === "failed") userCodeCounts.failed(value as string);
    else if (name === "generations") {
      this.#generations += value as number;
      userCodeCounts.changed(value as number);
    }
  }

  #end(why: string): string {
    this.#over = true;
    workerCounts.joined += 1;
    userCodeCounts.changed(-this.#generations);
    this.peer.close(this.#closing(why));
    return why;
  }

  #closing(why: string): CapstanError {
    const { name } = this.#parts.task.model;
    if (this.#disposal !== undefined)
      return new CapstanError("NOT_READY", `Model '${name}' has been unloaded`);
    if (this.#killed) {
      const text = `Model '${name}' did not stop when another request was over, and is started again: send this one again`;
      return new CapstanError("NOT_READY", text, { retryAfterMs: GRACE_MS });
    }
    return new CapstanError("INTERNAL", `Model '${name}' broke off: ${why}. It is being started again`);
  }

  /**
   * After an abort: code that still turns its event loop deals with it in its own time; code that does not is in an
   * endless loop, or as good as one.
   */
  async #watch(): Promise<void> {
    if (this.#watching) return;
    this.#watching = true;
    const { late } = await this.#within(Promise.race([this.peer.ping(), this.ended]));
    this.#watching = false;
    if (late) this.#unresponsive();
  }

  #unresponsive(): void {
    if (this.#over) return;
    const { log, task } = this.#parts;
    const fields = { model: task.model.name };
    if (this.#isolate.kill()) {
      this.#killed = true;
      log.error(fields, "The model does not stop: its thread or process was ended, and is started again");
    } else {
      log.error(
        fields,
        "The model does not stop, and its thread runs native code, which cannot be ended without the whole server. " +
          'Set parameters.extra.isolation to "process" for it',
      );
    }
  }

  async #within<T>(work: Promise<T>): Promise<{ late: true } | { late: false; value: T }> {
    const timer = new AbortController();
    const late = sleep(GRACE_MS, { late: true } as const, { signal: timer.signal });
    late.catch(() => {});
    try {
      return await Promise.race([work.then((value) => ({ late: false, value }) as const), late]);
    } finally {
      timer.abort();
    }
  }
}
