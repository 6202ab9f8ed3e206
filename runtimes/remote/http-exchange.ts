import type { IncomingHttpHeaders } from "node:http";
import type { Dispatcher, Pool } from "undici";
import type { Call } from "../../src/contracts/index.ts";
import { exchange, type Limit } from "./exchange.ts";
import { broken, tooLarge, unreachable } from "./failures.ts";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpLimit extends Limit {
  readonly maxBytes: number;
}

/**
 * Sends one request and reads the whole answer. Ending the call closes the connection, which is how a server
 * of HTTP/1.1 learns that nobody waits.
 * @throws NotExecuted when no connection could be made; CapstanError UPSTREAM when one broke.
 */
export function send(pool: Pool, request: HttpRequest, limit: HttpLimit, call: Call): Promise<HttpAnswer> {
  return exchange(call, limit, (resolve, reject) => {
    const handler = new AnswerHandler(limit, resolve, reject);
    pool.dispatch({ ...request, origin: undefined }, handler);
    return () => handler.cancel();
  });
}

/** undici calls these: the leanest of its ways, and the only one that tells when sending begins. */
class AnswerHandler implements Dispatcher.DispatchHandler {
  readonly #limit: HttpLimit;
  readonly #resolve: (answer: HttpAnswer) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  #controller: Dispatcher.DispatchController | undefined;
  #cancelled = false;

  constructor(limit: HttpLimit, resolve: (answer: HttpAnswer) => void, reject: (reason: unknown) => void) {
    this.#limit = limit;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** A request that still waits for a connection is stopped when it gets one. */
  cancel(): void {
    this.#cancelled = true;
    this.#controller?.abort(new Error("cancelled"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancelled) this.cancel();
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#limit.maxBytes) {
      this.#reject(tooLarge(this.#limit.where, this.#limit.maxBytes));
      controller.abort(new Error("too large"));
      return;
    }
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const [only] = this.#chunks;
    const body = this.#chunks.length === 1 ? only! : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    const failure = this.#controller === undefined ? unreachable : broken;
    this.#reject(failure(this.#limit.where, reasonOf(error), error));
  }
}

/** Node gathers the failures of several addresses of one name in an error without a message. */
function reasonOf(error: Error): string {
  const { message, code } = error as Error & { code?: string };
  return message || code || error.name;
}
