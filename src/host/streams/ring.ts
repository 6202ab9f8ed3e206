import type { NumberedEvent, StreamEvent } from "./event.ts";

/** What an event takes beside its text, roughly. */
const OVERHEAD_BYTES = 64;

/** The newest events of one stream. */
export class Ring {
  readonly #events: NumberedEvent[] = [];
  #last = 0;
  #bytes = 0;

  /** Number of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  add(event: StreamEvent): NumberedEvent {
    this.#last += 1;
    const numbered = { ...event, number: this.#last };
    this.#events.push(numbered);
    this.#bytes += sizeOf(numbered);
    return numbered;
  }

  /** The events after a number; undefined when they are not all there. */
  after(number: number): readonly NumberedEvent[] | undefined {
    if (number > this.#last || number < this.#last - this.#events.length) return undefined;
    return this.#events.slice(this.#events.length - (this.#last - number));
  }

  bytesAfter(number: number): number {
    return (this.after(number) ?? this.#events).reduce((sum, event) => sum + sizeOf(event), 0);
  }

  /**
   * Forgets the oldest events up to a number, until the rest has at most `bytes`.
   * @returns the number of the oldest event that is left; undefined when nothing was forgotten.
   */
  forget(upTo: number, bytes: number): number | undefined {
    let count = 0;
    while (this.#bytes > bytes && (this.#events[count]?.number ?? Number.POSITIVE_INFINITY) <= upTo) {
      this.#bytes -= sizeOf(this.#events[count]!);
      count += 1;
    }
    this.#events.splice(0, count);
    return count === 0 ? undefined : this.#last - this.#events.length + 1;
  }
}

const sizeOf = ({ data }: StreamEvent): number => data.length + OVERHEAD_BYTES;
