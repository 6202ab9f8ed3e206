/** One server-sent event. */
export interface SseEvent {
  /** `message` where the stream names none. */
  readonly event: string;
  readonly data: string;
}

/** Longest event in UTF-16 units: an upstream that never ends one must not fill the memory. */
const MAX_EVENT = 16 * 1024 * 1024;

const LINE_END = /\r\n|\n|\r/g;

/**
 * Turns the bytes of an event stream into events, however packets cut them (WHATWG HTML, 9.2.6: lines end in
 * LF, CR or CRLF; a comment begins with a colon; several `data` lines are one text with line feeds between).
 */
export class SseParser {
  readonly #decoder = new TextDecoder();
  /** The beginning of a line whose end has not come. */
  #partial = "";
  #skipLineFeed = false;
  #event = "";
  #data: string[] = [];
  #size = 0;

  /** @throws Error when one event is larger than this side reads. */
  push(bytes: Uint8Array): SseEvent[] {
    return this.#read(this.#decoder.decode(bytes, { stream: true }));
  }

  /** The stream ended: an event whose blank line is missing is taken as well, which the standard would drop. */
  end(): SseEvent[] {
    return this.#read(`${this.#decoder.decode()}\n\n`);
  }

  #read(decoded: string): SseEvent[] {
    const text = this.#skipLineFeed && decoded.startsWith("\n") ? decoded.slice(1) : decoded;
    if (decoded !== "") this.#skipLineFeed = decoded.endsWith("\r");
    const events: SseEvent[] = [];
    let start = 0;
    for (const { 0: end, index } of text.matchAll(LINE_END)) {
      this.#line(this.#partial + text.slice(start, index), events);
      this.#partial = "";
      start = index + end.length;
    }
    this.#partial += text.slice(start);
    if (this.#size + this.#partial.length > MAX_EVENT) throw new Error("an event of more than 16 MiB");
    return events;
  }

  #line(line: string, events: SseEvent[]): void {
    if (line === "") {
      this.#dispatch(events);
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#event = value;
    if (field !== "data") return;
    this.#data.push(value);
    this.#size += value.length;
  }

  #dispatch(events: SseEvent[]): void {
    if (this.#data.length > 0) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
    this.#event = "";
    this.#data = [];
    this.#size = 0;
  }
}
