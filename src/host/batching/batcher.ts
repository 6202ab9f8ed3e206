import type { Call } from "../../contracts/index.ts";
import { SharedCall } from "../shared-call.ts";

/** What a batcher needs to know of the work it joins. */
export interface BatchWork<Request, Answer> {
  /** Rows of a request; undefined for one that cannot be joined with others. */
  rows(request: Request): number | undefined;
  /** Only requests with equal keys are joined. */
  key(request: Request): string;
  run(request: Request, call: Call): Promise<Answer>;
  join(requests: readonly Request[]): Request;
  /** The part of each request, in order; undefined when the answer cannot be divided among them. */
  divide(answer: Answer, requests: readonly Request[]): readonly Answer[] | undefined;
  /** Told of the requests that wait whenever a batch is put together. */
  taken?(waiting: number): void;
  /** Told of every run that succeeded, with its rows and milliseconds. */
  ran?(rows: number, ms: number): void;
}

export interface BatchLimits {
  readonly maxRows: number;
  /** Longest wait of a request while the model is busy, in milliseconds; 0 is as long as the model takes. */
  readonly maxWaitMs: number;
  /** How many runs the model works on at once. */
  readonly concurrency: number;
}

interface Member<Request, Answer> {
  readonly request: Request;
  readonly call: Call;
  readonly rows: number;
  readonly key: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Joins requests into one run. It sends at once when the model is idle and collects only while it is busy, so a lone
 * request never waits. A batch that fails is tried again member by member: only the bad one fails.
 */
export class Batcher<Request, Answer> {
  readonly #work: BatchWork<Request, Answer>;
  readonly #limits: BatchLimits;
  #queue: Member<Request, Answer>[] = [];
  #running = 0;
  #scheduled = false;
  /** False once an answer could not be divided: the next would not be either. */
  #divisible = true;
  #overdue: NodeJS.Timeout | undefined;

  constructor(work: BatchWork<Request, Answer>, limits: BatchLimits) {
    this.#work = work;
    this.#limits = limits;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Rejects with the call's reason when it is aborted before its run; a run goes on until its last member has left. */
  async run(request: Request, call: Call): Promise<Answer> {
    const rows = this.#work.rows(request);
    if (rows === undefined || rows >= this.#limits.maxRows || !this.#divisible)
      return this.#alone(request, call, rows ?? 1);
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const member = { request, call, rows, key: this.#work.key(request), resolve, reject };
    this.#queue.push(member);
    if (this.#running < this.#limits.concurrency) this.#schedule();
    else return this.#wait(member, promise);
    return promise;
  }

  /** What arrives in the same turn of the event loop goes into one run. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  /** Behind a run that takes its time: an abort is heard at once. */
  async #wait(member: Member<Request, Answer>, promise: Promise<Answer>): Promise<Answer> {
    const { signal } = member.call;
    const leave = () => {
      this.#queue = this.#queue.filter((each) => each !== member);
      member.reject(signal.reason);
    };
    signal.addEventListener("abort", leave);
    this.#startOverdue();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  #startOverdue(): void {
    const { maxWaitMs } = this.#limits;
    if (maxWaitMs === 0 || this.#overdue !== undefined) return;
    this.#overdue = setTimeout(() => {
      this.#overdue = undefined;
      const batch = this.#take();
      if (batch.length > 0) void this.#start(batch);
      if (this.#queue.length > 0) this.#startOverdue();
    }, maxWaitMs);
  }

  #send(): void {
    while (this.#queue.length > 0 && this.#running < this.#limits.concurrency) {
      const batch = this.#take();
      if (batch.length > 0) void this.#start(batch);
    }
    if (this.#queue.length > 0) return;
    clearTimeout(this.#overdue);
    this.#overdue = undefined;
  }

  /** The first in the queue, and those that fit it; what nobody waits for any more is dropped. */
  #take(): Member<Request, Answer>[] {
    const batch: Member<Request, Answer>[] = [];
    const left: Member<Request, Answer>[] = [];
    let rows = 0;
    this.#work.taken?.(this.#queue.length);
    for (const member of this.#queue) {
      const fits =
        batch.length === 0 || (member.key === batch[0]!.key && rows + member.rows <= this.#limits.maxRows);
      if (member.call.signal.aborted) member.reject(member.call.signal.reason);
      else if (!fits) left.push(member);
      else {
        batch.push(member);
        rows += member.rows;
      }
    }
    this.#queue = left;
    return batch;
  }

  async #start(batch: readonly Member<Request, Answer>[]): Promise<void> {
    this.#running += 1;
    try {
      if (batch.length === 1) await this.#runMember(batch[0]!);
      else await this.#runTogether(batch);
    } finally {
      this.#done();
    }
  }

  async #alone(request: Request, call: Call, rows: number): Promise<Answer> {
    this.#running += 1;
    try {
      return await this.#measured(request, call, rows);
    } finally {
      this.#done();
    }
  }

  #done(): void {
    this.#running -= 1;
    if (this.#queue.length > 0) this.#schedule();
  }

  async #runTogether(batch: readonly Member<Request, Answer>[]): Promise<void> {
    const requests = batch.map(({ request }) => request);
    using shared = SharedCall.of(batch.map(({ call }) => call));
    const { requestId, log, trace } = batch[0]!.call;
    const together: Call = { requestId, log, trace, signal: shared.signal };
    const rows = batch.reduce((sum, member) => sum + member.rows, 0);
    try {
      const answer = await this.#measured(this.#work.join(requests), together, rows);
      const answers = this.#work.divide(answer, requests);
      this.#divisible = answers !== undefined;
      for (const [index, { resolve }] of batch.entries()) if (answers !== undefined) resolve(answers[index]!);
      if (answers !== undefined) return;
    } catch {
      // Whose fault it was shows when each runs by itself.
    }
    for (const member of batch) await this.#runMember(member);
  }

  async #runMember({ request, call, rows, resolve, reject }: Member<Request, Answer>): Promise<void> {
    try {
      call.signal.throwIfAborted();
      resolve(await this.#measured(request, call, rows));
    } catch (error) {
      reject(error);
    }
  }

  async #measured(request: Request, call: Call, rows: number): Promise<Answer> {
    const started = performance.now();
    const answer = await this.#work.run(request, call);
    this.#work.ran?.(rows, performance.now() - started);
    return answer;
  }
}
