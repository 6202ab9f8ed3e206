import { readFileSync } from "node:fs";
import { Durations } from "../../telemetry/durations.ts";
import type { WorkersRow } from "../../telemetry/model-metrics.ts";

/** Requests that a worker has when it is given another one. */
const SIZES = [0, 1, 2, 4, 8, 16, 32, 64, 128];

/** A thread or process that runs a model now. */
export interface LiveWorker {
  readonly model: string;
  /** Absent for a thread. */
  readonly pid: number | undefined;
}

/** Workers come and go, and a series for each would never end: what is counted is of all workers of a model. */
class WorkerCounts {
  readonly live = new Set<LiveWorker>();
  readonly #models = new Map<string, { readonly queues: Durations; failures: number }>();

  /** @param waiting requests at the worker that is given another one. */
  chosen(model: string, waiting: number): void {
    this.#model(model).queues.observe(waiting);
  }

  brokeOff(model: string): void {
    this.#model(model).failures += 1;
  }

  rows(): WorkersRow[] {
    return Array.from(this.#models, ([name, { queues, failures }]) => {
      const live = [...this.live].filter(({ model }) => model === name);
      const memory = live.flatMap(({ pid }) => (pid === undefined ? [] : (residentBytes(pid) ?? [])));
      const sum = memory.length === 0 ? undefined : memory.reduce((all, bytes) => all + bytes, 0);
      return { name, queues, failures, workers: live.length, processBytes: sum };
    });
  }

  #model(name: string) {
    let found = this.#models.get(name);
    if (found === undefined) {
      found = { queues: new Durations(SIZES), failures: 0 };
      this.#models.set(name, found);
    }
    return found;
  }
}

export const isolationCounts = new WorkerCounts();

/** Undefined where the system does not say, or for a process that has just ended. */
function residentBytes(pid: number): number | undefined {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}
