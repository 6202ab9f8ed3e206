import type { CapstanError } from "../contracts/index.ts";
import { errorBody, reportError } from "./error-body.ts";
import type { Exchange } from "./exchange.ts";
import type { Headers } from "./send.ts";

/** One event of a `text/event-stream`. */
export function sseData(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

export interface EventOptions {
  /** Of the answer, beside those that every stream has; asked when the first event, or heartbeat, goes out. */
  readonly headers?: () => Headers;
  /** The last events after an error; absent: one event with the error in the form of the route's protocol. */
  readonly failure?: (error: CapstanError) => string;
  /** A comment to be sent when there was no event for a while. */
  readonly heartbeat?: () => string;
  /** Aborts when nobody waits for more; absent: the call's. */
  readonly signal?: AbortSignal;
}

/**
 * Writes events as they come, as fast as the client takes them; each item is the text of one event or more. What
 * is thrown before the first is the caller's to answer with a status; what is thrown after it, or after a heartbeat,
 * becomes an event.
 */
export async function sendEvents(
  x: Exchange,
  events: AsyncIterable<string>,
  options: EventOptions,
): Promise<void> {
  const { failure = (error: CapstanError) => sseData(errorBody(x, error)) } = options;
  using stream = new EventStream(x, options);
  try {
    for await (const event of events) await stream.write(event);
  } catch (thrown) {
    if (!x.response.headersSent) throw thrown;
    stream.writeLast(failure(reportError(x, thrown)));
  }
  stream.end();
}

const comment = (): string => ": ping\n\n";

/**
 * The answer of an exchange as a stream of events. Its head goes out together with the first event, or with the first
 * heartbeat where that is due before: a model may read a long prompt for minutes.
 */
class EventStream {
  readonly #exchange: Exchange;
  readonly #options: EventOptions;
  readonly #heartbeat: NodeJS.Timeout | undefined;

  constructor(exchange: Exchange, options: EventOptions) {
    this.#exchange = exchange;
    this.#options = options;
    const { stream_heartbeat: every } = exchange.parts.settings;
    if (every > 0) this.#heartbeat = setInterval(() => this.#ping(), every).unref();
  }

  /**
   * Resolves when there is room for more.
   * @throws the signal's reason when nobody waits for more.
   */
  async write(event: string): Promise<void> {
    const { response } = this.#exchange;
    const signal = this.#options.signal ?? this.#exchange.call().signal;
    signal.throwIfAborted();
    this.#open();
    if (!response.write(event)) await roomIn(response, signal);
    signal.throwIfAborted();
  }

  writeLast(event: string): void {
    if (!this.#exchange.response.destroyed) this.#exchange.response.write(event);
  }

  end(): void {
    this.#open();
    this.#exchange.response.end();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#heartbeat);
  }

  /** X-Accel-Buffering is what nginx and its kin read; without it they collect the events. */
  #open(): void {
    const { response, requestId, parts } = this.#exchange;
    if (response.headersSent || response.destroyed) return;
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
      "x-request-id": requestId,
      ...(parts.stopping() ? { connection: "close" } : {}),
      ...this.#options.headers?.(),
    });
  }

  /** Comments keep proxies from closing a stream that is silent for long. */
  #ping(): void {
    const { response } = this.#exchange;
    if (response.writableNeedDrain || response.writableEnded || response.destroyed) return;
    this.#open();
    response.write((this.#options.heartbeat ?? comment)());
  }
}

/** Resolves when the client has read on, is gone, or the work is over. */
export function roomIn(response: Exchange["response"], signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
    signal.addEventListener("abort", done);
    if (response.destroyed || signal.aborted) done();
  });
}
