import { randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import { CapstanError, type Log, type Principal, type TraceSpan } from "../contracts/index.ts";
import type { Access } from "../host/access.ts";
import { openCall } from "../host/call.ts";
import type { RunningCalls } from "../host/running.ts";
import type { DataPlane } from "../host/types.ts";
import { KickoffRun } from "./kickoff-run.ts";

const MOST_RUNNING = 64;
const MOST_KEPT = 1000;
const KEPT_MS = 60 * 60 * 1000;
/** Of all results together, in characters of JSON. */
const KEPT_SIZE = 64 * 1024 * 1024;

export interface KickoffParts {
  readonly plane: DataPlane;
  readonly running: RunningCalls;
  readonly access?: Access | undefined;
  readonly log: Log;
}

/** Whose the work is. */
export interface KickoffCaller {
  readonly owner: string;
  readonly principal?: Principal | undefined;
  /** Of the request that asked for it: the work is part of its trace, and may outlive it. */
  readonly span?: TraceSpan | undefined;
}

type JsonInputs = Readonly<Record<string, unknown>>;

/** Applications that work in the background: those under way, and for an hour what came of the last thousand. */
export class Kickoffs implements AsyncDisposable {
  readonly #running = new Map<string, KickoffRun>();
  readonly #kept = new LRUCache<string, KickoffRun>({
    max: MOST_KEPT,
    ttl: KEPT_MS,
    maxSize: KEPT_SIZE,
    sizeCalculation: (run) => JSON.stringify(run.status()).length,
  });

  readonly #parts: KickoffParts;

  constructor(parts: KickoffParts) {
    this.#parts = parts;
  }

  /** @throws CapstanError QUEUE_FULL */
  start({ owner, principal, span: trace }: KickoffCaller, model: string, inputs: JsonInputs): KickoffRun {
    if (this.#running.size >= MOST_RUNNING) {
      const text = `${MOST_RUNNING} kickoffs are under way, which is as many as there may be`;
      throw new CapstanError("QUEUE_FULL", text, { retryAfterMs: 1000 });
    }
    const { log, plane } = this.#parts;
    const call = openCall({ requestId: randomUUID(), log, trace, ...(principal && { principal }) });
    const messages = [{ role: "user" as const, content: JSON.stringify(inputs) }];
    const parts = plane.chat(model, undefined, { messages, sampling: {} }, call);
    const run = new KickoffRun(model, owner, call, parts);
    this.#running.set(run.id, run);
    const unwatch = this.#watch(run, principal);
    void run.done.then(() => {
      unwatch();
      this.#running.delete(run.id);
      this.#kept.set(run.id, run);
    });
    return run;
  }

  /**
   * @param model whose run it must be; absent: any.
   * @throws CapstanError NOT_FOUND, also for what somebody else started.
   */
  find(id: string, owner: string, model: string | undefined): KickoffRun {
    const run = this.#running.get(id) ?? this.#kept.get(id);
    if (run !== undefined && run.owner === owner && (model === undefined || run.model === model)) return run;
    throw new CapstanError(
      "NOT_FOUND",
      `No kickoff ${JSON.stringify(id)} of yours is known: results are kept for an hour`,
    );
  }

  /** Stops what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#running.values()];
    for (const run of running) run.cancel("The server is stopping");
    await Promise.all(running.map(({ done }) => done));
  }

  /** Whoever cancels its caller's requests, or takes away his key, stops this work as well. */
  #watch({ id: requestId, owner, cancel: stop }: KickoffRun, principal: Principal | undefined): () => void {
    const { running, access } = this.#parts;
    const entry = { requestId, owner, cancel: stop };
    running.add(entry);
    const release = principal && access?.hold(principal, stop);
    return () => {
      running.delete(entry);
      release?.();
    };
  }
}
