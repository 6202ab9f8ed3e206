import { setTimeout as delay } from "node:timers/promises";
import { CapstanError, invalid } from "../../contracts/index.ts";
import type { StreamEvent } from "./event.ts";
import { LiveStream } from "./live-stream.ts";
import type { SharedLog, SharedReader, StreamOwner } from "./shared-log.ts";

export interface ResumableOptions {
  readonly graceMs: number;
  /** Absent: a client can come back only to this process. */
  readonly shared?: SharedLog;
  /** Streams under way or waiting for their client, at most. */
  readonly maxStreams?: number;
  /** Bytes of the events kept for one stream. */
  readonly maxBytes?: number;
}

/** The hold its work has on a stream. */
export interface StreamControl {
  /** Aborts when the work is not wanted any more. */
  readonly signal: AbortSignal;
  /** Ends the work for a reason of its own. */
  readonly cancel: (reason: unknown) => void;
}

/** What a stream is to do. */
export interface StreamWork {
  readonly events: (control: StreamControl) => AsyncIterable<StreamEvent>;
  /** The last event after an error. */
  readonly failure: (thrown: unknown) => StreamEvent;
}

const KIB = 1024;
/** With the bytes of each, 256 MiB in the worst case. */
const MAX_STREAMS = 1024;
const MAX_BYTES = 256 * KIB;
const FULL_RETRY_MS = 1000;
/** For the last events to go out after the work was told to end. */
const LAST_EVENTS_MS = 200;

/** Streams whose clients may come back: their events are kept, and their work outlives a connection. */
export class ResumableStreams {
  readonly #options: Required<Omit<ResumableOptions, "shared">>;
  readonly #shared: SharedLog | undefined;
  readonly #streams = new Map<string, LiveStream>();
  readonly #starting = new Set<string>();
  readonly #work = new Set<Promise<void>>();

  constructor({ graceMs, shared, maxStreams = MAX_STREAMS, maxBytes = MAX_BYTES }: ResumableOptions) {
    this.#options = { graceMs, maxStreams, maxBytes };
    this.#shared = shared;
  }

  /**
   * Starts the work of a stream.
   * @throws CapstanError QUEUE_FULL, INVALID_ARGUMENT when the id is taken, NOT_READY while the shared log is away.
   */
  async start(id: string, owner: StreamOwner, work: StreamWork): Promise<LiveStream> {
    this.#checkRoom(id);
    this.#starting.add(id);
    try {
      const shared = await this.#shared?.begin(id, owner);
      const { graceMs, maxBytes } = this.#options;
      const stream = new LiveStream(owner, {
        ...{ graceMs, maxBytes, shared },
        forgotten: () => this.#streams.delete(id),
      });
      this.#streams.set(id, stream);
      this.#run(stream, work);
      return stream;
    } finally {
      this.#starting.delete(id);
    }
  }

  /**
   * A stream that somebody comes back to; undefined when there is none of that id, on any replica.
   * @throws CapstanError NOT_READY while the shared log is away.
   */
  async find(id: string): Promise<SharedReader | undefined> {
    return this.#streams.get(id) ?? this.#shared?.find(id);
  }

  /**
   * Waits for the streams under way. Without a shared log those whose client is away end at once, as it cannot come
   * back.
   * @param drainMs the others end then; 0 waits without end.
   */
  async close(drainMs: number): Promise<void> {
    const stopping = new CapstanError("CANCELLED", "The server is stopping");
    for (const stream of this.#streams.values()) {
      if (this.#shared === undefined && !stream.isRead) stream.cancel(stopping);
    }
    const ended = this.#ended();
    if (drainMs > 0) await Promise.race([ended, delay(drainMs, undefined, { ref: false })]);
    else await ended;
    for (const stream of this.#streams.values()) stream.forget(stopping);
    await Promise.race([ended, delay(LAST_EVENTS_MS, undefined, { ref: false })]);
    this.#streams.clear();
  }

  /** Resolves when no work is left; some may begin meanwhile, over connections that are still open. */
  async #ended(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #checkRoom(id: string): void {
    if (this.#streams.has(id) || this.#starting.has(id)) {
      throw invalid(`A stream of request id '${id}' is there already: give each its own x-request-id`);
    }
    if (this.#streams.size + this.#starting.size < this.#options.maxStreams) return;
    const message = `There are ${this.#options.maxStreams} streams that may be resumed: come back later, or ask without resume`;
    throw new CapstanError("QUEUE_FULL", message, { retryAfterMs: FULL_RETRY_MS });
  }

  #run(stream: LiveStream, work: StreamWork): void {
    const running = produce(stream, work).finally(() => this.#work.delete(running));
    this.#work.add(running);
  }
}

/** Never rejects. */
async function produce(stream: LiveStream, { events, failure }: StreamWork): Promise<void> {
  try {
    const control = { signal: stream.signal, cancel: (reason: unknown) => stream.cancel(reason) };
    for await (const event of events(control)) await stream.add(event);
    stream.end();
  } catch (thrown) {
    stream.end(failure(thrown));
  }
}
