import type { ChatRequest, Part } from "../../src/contracts/index.ts";
import type { Faults } from "./failures.ts";
import { isRecord, parseJson } from "./json.ts";
import { ReplyReader } from "./reader.ts";
import type { Reply } from "./reply.ts";
import { type SseEvent, SseParser } from "./sse.ts";

/**
 * The parts of a streamed answer, those of one packet together. An upstream that does not stream, and answers
 * with one JSON object, is understood as well.
 * @throws UpstreamFault where the stream is not one, reports an error, or ends before the answer does.
 */
export async function* readStream(
  reply: Reply,
  request: ChatRequest,
  faults: Faults,
): AsyncGenerator<Part[]> {
  const type = String((await reply.head()).headers["content-type"] ?? "");
  if (/^application\/json\b/i.test(type)) {
    yield wholeParts(await reply.json(), request, faults);
    return;
  }
  if (/^text\/html\b/i.test(type)) throw faults.bad(`${type} instead of an event stream`);
  yield* new StreamReader(reply, request, faults).parts();
}

/** The parts of a whole answer. */
export function wholeParts(
  answer: Readonly<Record<string, unknown>>,
  request: ChatRequest,
  faults: Faults,
): Part[] {
  if (!Array.isArray(answer.choices)) throw faults.bad("it has no list of choices");
  const reader = new ReplyReader(request, faults, true);
  return [...reader.read(answer), ...reader.finish()];
}

class StreamReader {
  readonly #reply: Reply;
  readonly #faults: Faults;
  readonly #parser = new SseParser();
  readonly #reader: ReplyReader;
  #done = false;
  #flows = false;
  #fault: unknown;

  constructor(reply: Reply, request: ChatRequest, faults: Faults) {
    this.#reply = reply;
    this.#faults = faults;
    this.#reader = new ReplyReader(request, faults, false);
  }

  async *parts(): AsyncGenerator<Part[]> {
    for (let ended = false; !ended && !this.#done; ) {
      const chunk = await this.#next();
      ended = chunk === undefined;
      const parts = this.#read(chunk);
      if (parts.length > 0) yield parts;
      // What came before it in the same packet is still the caller's.
      if (this.#fault !== undefined) throw this.#fault;
    }
    if (!this.#done && !this.#reader.complete)
      throw this.#faults.bad("the stream ended before the answer did");
    this.#reply.release();
    yield this.#reader.finish();
  }

  /** An answer that is complete does not fail because only its end is missing. */
  async #next(): Promise<Buffer | undefined> {
    try {
      return await this.#reply.next();
    } catch (error) {
      if (this.#reader.complete && this.#faults.made(error)) return undefined;
      throw error;
    }
  }

  #read(chunk: Buffer | undefined): Part[] {
    const parts: Part[] = [];
    try {
      for (const event of this.#events(chunk)) parts.push(...this.#readEvent(event));
    } catch (error) {
      this.#fault = error;
    }
    if (!this.#flows && this.#reader.begun) {
      this.#flows = true;
      this.#reply.flows();
    }
    return parts;
  }

  #events(chunk: Buffer | undefined): SseEvent[] {
    try {
      return chunk === undefined ? this.#parser.end() : this.#parser.push(chunk);
    } catch (error) {
      throw this.#faults.bad((error as Error).message);
    }
  }

  #readEvent({ event, data }: SseEvent): Part[] {
    if (this.#done) return [];
    if (data.trim() === "[DONE]") {
      this.#done = true;
      return [];
    }
    const value = parseJson(data);
    if (!isRecord(value)) throw this.#faults.bad("an event of its stream is not a JSON object");
    if (event === "error" && !value.error) throw this.#faults.reported({ error: value });
    return this.#reader.read(value);
  }
}
