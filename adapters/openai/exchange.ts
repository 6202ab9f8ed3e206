import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher, FormData, Pool } from "undici";
import { codeOf, type Faults } from "./failures.ts";

export interface HttpRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | FormData;
}

export interface HttpHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Bytes that are kept for a slow reader before the upstream is made to wait. */
const HIGH_WATER = 256 * 1024;
/** How long an upstream that has said everything may take to end its answer. */
const END_MS = 1000;

/**
 * One POST and its answer, read piece by piece with backpressure. undici's dispatch is the leanest of its
 * ways, and the only one that tells a connection that was never made from one that broke.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #faults: Faults;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #head: HttpHead | undefined;
  #ended = false;
  #failed = false;
  #reason: unknown;
  #controller: Dispatcher.DispatchController | undefined;
  #wake: (() => void) | undefined;
  #onEnd: (() => void) | undefined;

  constructor(pool: Pool, request: HttpRequest, faults: Faults) {
    this.#faults = faults;
    pool.dispatch({ method: "POST", ...request, origin: undefined }, this);
  }

  /** @throws UpstreamFault, or the reason this was cancelled with. */
  async head(): Promise<HttpHead> {
    while (this.#head === undefined) {
      if (this.#failed) throw this.#reason;
      await this.#news();
    }
    return this.#head;
  }

  /** The next piece of the answer; undefined at its end. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      if (this.#chunks.length > 0) return this.#take();
      if (this.#failed) throw this.#reason;
      if (this.#ended) return undefined;
      await this.#news();
    }
  }

  /**
   * Closes the connection, which is how a server of HTTP/1.1 learns that nobody waits; what was not read yet
   * is dropped. Does nothing when the answer is complete.
   */
  cancel(reason: unknown): void {
    if (this.#failed) return;
    this.#chunks.length = 0;
    this.#fail(reason);
    if (!this.#ended) this.#controller?.abort(new Error("cancelled"));
  }

  /**
   * The answer is known, only its end has not come: the connection is kept for the next request when it comes
   * soon.
   */
  release(): void {
    if (this.#failed || this.#ended) return;
    this.#chunks.length = 0;
    this.#fail(undefined);
    this.#controller?.resume();
    const timer = setTimeout(() => this.#controller?.abort(new Error("no end")), END_MS).unref();
    this.#onEnd = () => clearTimeout(timer);
  }

  /** A request that was cancelled while it waited for a connection is stopped when it gets one. */
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failed) controller.abort(new Error("cancelled"));
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    this.#head = { status, headers };
    this.#wake?.();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#failed) return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size > HIGH_WATER) controller.pause();
    this.#wake?.();
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#onEnd?.();
    this.#wake?.();
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    this.#onEnd?.();
    if (!this.#failed) this.#fail(this.#faultOf(error));
  }

  #faultOf(error: Error): unknown {
    if (codeOf(error) === "UND_ERR_DESTROYED") return this.#faults.unloaded();
    return this.#controller === undefined ? this.#faults.unreachable(error) : this.#faults.broken(error);
  }

  #fail(reason: unknown): void {
    this.#failed = true;
    this.#reason = reason;
    this.#wake?.();
  }

  #take(): Buffer {
    const chunk = this.#chunks.shift()!;
    this.#size -= chunk.length;
    if (this.#size === 0) this.#controller?.resume();
    return chunk;
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
