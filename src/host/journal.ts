import type { LoadStep } from "./load-step.ts";
import type { Candidate } from "./repository.ts";
import { withoutSecrets } from "./secrets.ts";
import { aliasOf } from "./sources/canary.ts";

/** What may happen to a model version. */
export type ModelEventType =
  | "loading"
  /** Loaded, warm, its cases passed. */
  | "ready"
  /** It takes the place of what serves; `swapped` follows, or `load_failed` where room had to be made first. */
  | "swap_started"
  | "swapped"
  | "load_failed"
  /** A fault of a registry or the network: tried again at `retryAt`. */
  | "retry_due"
  | "rolled_back"
  | "pinned"
  | "unpinned"
  | "canary_started"
  /** Its weight is another one, or it serves every request now. */
  | "canary_advanced"
  | "canary_rolled_back"
  /** The last request on what served was answered, and it is disposed. */
  | "drained"
  /** Nothing is left of the version here. */
  | "removed";

/** What else is known, by the kind of event. */
export interface EventDetails {
  /** SHA-256 of the fetched files and their names. */
  readonly digest?: string | undefined;
  readonly generation?: number | undefined;
  /** The version that served before. */
  readonly previous?: string | undefined;
  readonly reason?: string | undefined;
  /** Where a load failed. */
  readonly step?: LoadStep | undefined;
  /** When it is tried again, as ISO 8601. */
  readonly retryAt?: string | undefined;
  /** Per cent of the requests that name no version. */
  readonly weight?: number | undefined;
  /** Id of the key whose holder decided. */
  readonly by?: string | undefined;
}

export interface ModelEvent extends EventDetails {
  /** Grows with each event, also from one start of the server to the next: microseconds since the epoch, or more. */
  readonly id: number;
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly type: ModelEventType;
  readonly model: string;
  readonly version: string;
  /** What the registry calls the content. */
  readonly revision?: string | undefined;
  readonly alias?: string | undefined;
}

/** Which events are wanted. */
export interface EventFilter {
  readonly model?: string | undefined;
  /** Those with a greater id. */
  readonly after?: number | undefined;
}

/** Whom the steps of a model tell. */
export type Announce = Pick<Journal, "announce">;

const KEPT = 1000;
const LONGEST_REASON = 2000;

/** What happened to the models of this server: the newest events, to be read and followed. */
export class Journal {
  readonly #events: ModelEvent[] = [];
  readonly #kept: number;
  #lastId = 0;
  #next = Promise.withResolvers<void>();
  #closed = false;

  constructor(kept = KEPT) {
    this.#kept = kept;
  }

  announce(type: ModelEventType, of: Candidate, details: EventDetails = {}): void {
    const now = Date.now();
    this.#lastId = Math.max(this.#lastId + 1, idAt(now));
    const [uri] = of.sourceKey === undefined ? [] : (JSON.parse(of.sourceKey) as [string]);
    this.#events.push({
      id: this.#lastId,
      time: new Date(now).toISOString(),
      type,
      model: of.name,
      version: of.version,
      revision: of.located?.revision,
      alias: uri && aliasOf(uri),
      ...details,
      reason: details.reason && withoutSecrets(details.reason).slice(0, LONGEST_REASON),
    });
    if (this.#events.length > this.#kept) this.#events.shift();
    this.#wake();
  }

  /** The oldest first. */
  read({ model, after = 0 }: EventFilter = {}): ModelEvent[] {
    return this.#events.filter((event) => event.id > after && (model === undefined || event.model === model));
  }

  /** What is kept, and then what comes, until the signal aborts or the server stops. */
  async *follow({ model, after = 0 }: EventFilter, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => leave(), { once: true });
    for (let seen = after; !signal.aborted; ) {
      const { promise: next } = this.#next;
      const events = this.read({ after: seen });
      seen = events.at(-1)?.id ?? seen;
      for (const event of events) if (model === undefined || event.model === model) yield event;
      if (events.length > 0) continue;
      if (this.#closed) return;
      await Promise.race([next, gone]);
    }
  }

  /** Ends whoever follows. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
  }

  #wake(): void {
    this.#next.resolve();
    this.#next = Promise.withResolvers<void>();
  }
}

/** The least id of an event at a time, in milliseconds since the epoch. */
export const idAt = (time: number): number => time * 1000;
