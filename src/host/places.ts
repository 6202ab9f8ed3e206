import { type Call, CapstanError } from "../contracts/index.ts";
import type { Admission } from "./admission.ts";
import type { Generation } from "./generation.ts";
import { KeyedQueue } from "./memory/queue.ts";

/**
 * Places in models that work on a bounded number of requests at once. Who waits for the turn of a session has none: one
 * session would keep all of them from others.
 */
export class Places {
  readonly #sessions = new KeyedQueue();

  /**
   * Waits for a place, which is given back when it is disposed; undefined where there is no bound.
   * @param session the conversation that the request names, if any.
   * @throws CapstanError QUEUE_FULL, DEADLINE_EXCEEDED, or the call's own reason.
   */
  take(generation: Generation, session: string | undefined, call: Call): Promise<Disposable> | undefined {
    const { admission } = generation;
    return admission && this.#take(generation, admission, session, call);
  }

  async #take(
    generation: Generation,
    admission: Admission,
    session: string | undefined,
    call: Call,
  ): Promise<Disposable> {
    using held = new DisposableStack();
    const key = session && turnKey(generation, session, call);
    if (key) held.use(await this.#turn(key, admission, call));
    const arrived = performance.now();
    await admission.enter(call);
    held.defer(() => admission.leave(call));
    const waited = performance.now() - arrived;
    generation.statistics.queued(waited);
    call.trace?.event("capstan.admitted", { "capstan.queue.wait_ms": waited });
    return held.move();
  }

  #turn(key: string, { limits: { max_queue } }: Admission, { signal }: Call): Promise<Disposable> {
    const sessions = this.#sessions;
    if (!sessions.isTaken(key) || sessions.waiting(key) < max_queue) return sessions.enter(key, signal);
    const message = `The session is busy: one request of it runs and ${max_queue} wait`;
    throw new CapstanError("QUEUE_FULL", message, { retryAfterMs: RETRY_AFTER_MS });
  }
}

/** As of a queue that is full: it has room again soon. */
const RETRY_AFTER_MS = 1000;

/** Whose turns wait for each other; undefined for a model that remembers nothing. */
function turnKey({ settings, spec }: Generation, session: string, { principal }: Call): string | undefined {
  const { memory } = settings.parameters.extra;
  if (memory === undefined) return undefined;
  const path = typeof memory === "string" ? [memory] : ["", spec.name];
  return JSON.stringify([principal?.id ?? "", ...path, session]);
}
