import { CapstanError } from "../../contracts/index.ts";
import { Change } from "./change.ts";
import { isLast, type NumberedEvent, type StreamEvent, StreamLost } from "./event.ts";
import { Ring } from "./ring.ts";
import type { SharedReader, SharedWriter, StreamOwner } from "./shared-log.ts";

export interface LiveStreamOptions {
  readonly graceMs: number;
  /** Of events kept: half of it for those that were read, half for those that were not. */
  readonly maxBytes: number;
  readonly shared: SharedWriter | undefined;
  /** Nobody may come back to it any more. */
  readonly forgotten: () => void;
}

/** While a client is at another replica, how far it has read is asked for so often. */
const POSITION_POLL_MS = 100;

/**
 * A stream that this process produces. Its work goes on while the client is away, as far as there is room for what
 * nobody reads, and is cancelled when nobody came back in time.
 */
export class LiveStream implements SharedReader {
  readonly owner: StreamOwner;
  readonly #options: LiveStreamOptions;
  readonly #ring = new Ring();
  readonly #change = new Change();
  readonly #work = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #readers = 0;
  #read = 0;
  #ended = false;

  constructor(owner: StreamOwner, options: LiveStreamOptions) {
    this.owner = owner;
    this.#options = options;
    this.#await(options.graceMs);
  }

  /** Aborts when the work is not wanted any more. */
  get signal(): AbortSignal {
    return this.#work.signal;
  }

  /** Whether a client is reading, here. */
  get isRead(): boolean {
    return this.#readers > 0;
  }

  cancel(reason: unknown): void {
    this.#work.abort(reason);
  }

  /**
   * Waits until there is room for it.
   * @throws the reason of {@link signal}.
   */
  async add(event: StreamEvent): Promise<void> {
    const { maxBytes, shared } = this.#options;
    while (this.#ring.bytesAfter(this.#read) > maxBytes / 2) {
      await this.#change.next(this.signal, shared && POSITION_POLL_MS);
      if (shared) this.#readUpTo(await shared.position());
    }
    this.signal.throwIfAborted();
    this.#put(event);
  }

  /** The last event. What a reader has not seen stays until it is read, or time is up. */
  end(event?: StreamEvent): void {
    if (this.#ended) return;
    if (event !== undefined) this.#put(event);
    this.#ended = true;
    this.#options.shared?.end();
    this.#change.happened();
    if (!this.isRead) this.#await(this.#options.graceMs);
  }

  isOver(number: number): boolean {
    return this.#ended && number === this.#ring.last;
  }

  async *read(after: number, signal: AbortSignal): AsyncGenerator<NumberedEvent> {
    this.#readers += 1;
    clearTimeout(this.#timer);
    try {
      yield* this.#events(after, signal);
    } finally {
      this.#readers -= 1;
      if (!this.isRead) this.#await(this.#options.graceMs);
    }
  }

  /** Timers go; what is left of the work is cancelled. */
  forget(reason: unknown): void {
    clearTimeout(this.#timer);
    this.cancel(reason);
  }

  async *#events(after: number, signal: AbortSignal): AsyncGenerator<NumberedEvent> {
    let number = after;
    while (!this.isOver(number)) {
      const events = this.#ring.after(number);
      if (events === undefined) throw new StreamLost("The events after the last one are not kept any more");
      for (const event of events) {
        yield event;
        number = event.number;
        this.#readUpTo(number);
      }
      if (events.length === 0 && !this.#ended) await this.#change.next(signal);
    }
  }

  #put(event: StreamEvent): void {
    const numbered = this.#ring.add(event);
    this.#options.shared?.add(numbered);
    this.#change.happened();
    if (isLast(event)) this.end();
  }

  #readUpTo(number: number): void {
    if (number <= this.#read) return;
    this.#read = number;
    const oldest = this.#ring.forget(number, this.#options.maxBytes / 2);
    if (oldest !== undefined) this.#options.shared?.forgetBefore(oldest);
    this.#change.happened();
  }

  #await(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#giveUp(), milliseconds).unref();
  }

  async #giveUp(): Promise<void> {
    const { shared, forgotten, graceMs } = this.#options;
    const elsewhereMs = (await shared?.awaitedMs()) ?? 0;
    if (this.isRead) return;
    if (this.#ended) return forgotten();
    if (elsewhereMs > 0) return this.#await(elsewhereMs);
    this.cancel(new CapstanError("CANCELLED", `The client did not come back within ${graceMs / 1000} s`));
  }
}
