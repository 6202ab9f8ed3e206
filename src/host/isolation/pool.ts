import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError } from "../../contracts/index.ts";
import { isolationCounts } from "./counts.ts";
import type { Described } from "./task.ts";
import { ModelWorker, type WorkerParts } from "./worker.ts";

/** Before a worker that broke off is started for the second time in a row, doubled each time. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;

/** Workers that each run the same model. One that breaks off is replaced. */
export class WorkerPool implements AsyncDisposable {
  readonly described: Described;
  readonly #parts: WorkerParts;
  readonly #workers = new Set<ModelWorker>();
  readonly #restarts = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #arrived = Promise.withResolvers<void>();
  #disposal: Promise<void> | undefined;

  /** @throws CapstanError of the first load that fails; none is left behind then. */
  static async start(parts: WorkerParts, count: number, call: Call): Promise<WorkerPool> {
    const starting = Array.from({ length: count }, () => ModelWorker.start(parts, call));
    const settled = await Promise.allSettled(starting);
    const workers = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const failed = settled.find((each) => each.status === "rejected");
    if (failed === undefined) return new WorkerPool(parts, workers);
    await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
    throw failed.reason;
  }

  private constructor(parts: WorkerParts, workers: readonly ModelWorker[]) {
    this.#parts = parts;
    this.described = workers[0]!.described;
    this.size = workers.length;
    for (const worker of workers) this.#add(worker, 0);
  }

  get name(): string {
    return this.#parts.task.model.name;
  }

  /** How many workers there are when none is being replaced. */
  readonly size: number;

  /** False while none of the workers can answer. */
  get ready(): boolean {
    return [...this.#workers].some((worker) => worker.ready);
  }

  /**
   * The worker with the least to do. While all are being started again, waits for the first.
   * @throws CapstanError NOT_READY after disposal.
   */
  async worker(call: Call): Promise<ModelWorker> {
    for (;;) {
      call.signal.throwIfAborted();
      if (this.#disposal !== undefined)
        throw new CapstanError("NOT_READY", `Model '${this.name}' has been unloaded`);
      const [first, ...others] = this.#workers;
      if (first !== undefined) {
        const least = others.reduce((a, b) => (b.peer.waiting < a.peer.waiting ? b : a), first);
        // Last in line the next time: of those that have the same to do, the first is taken.
        this.#workers.delete(least);
        this.#workers.add(least);
        isolationCounts.chosen(this.name, least.peer.waiting);
        return least;
      }
      await unlessAborted(this.#arrived.promise, call.signal);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    this.#stopping.abort(new CapstanError("NOT_READY", `Model '${this.name}' is being unloaded`));
    this.#arrived.resolve();
    await Promise.all([...this.#workers].map((worker) => worker[Symbol.asyncDispose]()));
    await Promise.all(this.#restarts);
  }

  /** @param failures how many times in a row its predecessors broke off without an answer. */
  #add(worker: ModelWorker, failures: number): void {
    this.#workers.add(worker);
    this.#arrived.resolve();
    void worker.ended.then((why) => {
      this.#workers.delete(worker);
      if (this.#workers.size === 0) this.#arrived = Promise.withResolvers();
      if (this.#disposal !== undefined) return;
      isolationCounts.brokeOff(this.name);
      const inARow = worker.hasAnswered ? 1 : failures + 1;
      const fields = { model: this.name, why, delay_ms: delayAfter(inARow) };
      this.#parts.log.error(fields, "An isolated model broke off; it is being started again");
      this.#restart(inARow);
    });
  }

  #restart(failures: number): void {
    const restart = this.#startAgain(failures).catch(() => {});
    this.#restarts.add(restart);
    void restart.then(() => this.#restarts.delete(restart));
  }

  async #startAgain(failures: number): Promise<void> {
    const { signal } = this.#stopping;
    await sleep(delayAfter(failures), undefined, { signal });
    const call = { signal, requestId: "restart", log: this.#parts.log };
    try {
      this.#add(await ModelWorker.start(this.#parts, call), failures);
    } catch (err) {
      if (signal.aborted) return;
      this.#parts.log.error({ model: this.name, err }, "An isolated model could not be started again");
      this.#restart(failures + 1);
    }
  }
}

/** @param failures in a row: one is an accident. */
function delayAfter(failures: number): number {
  return failures <= 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (failures - 2), LONGEST_DELAY_MS);
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
