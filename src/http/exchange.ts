import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Log } from "../contracts/index.ts";
import { type CallScope, openCall } from "../host/call.ts";
import type { HttpParts } from "./parts.ts";

/** What a caller may name a request; anything else is replaced, so that it can stand in a log. */
const REQUEST_ID = /^[\w.:+/=@-]{1,128}$/;

/** One HTTP request and its answer. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  /** The route's template: a label of metrics. */
  readonly route: string;
  readonly parts: HttpParts;
  readonly requestId: string;
  readonly started = performance.now();
  #scope: CallScope | undefined;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    route: string,
    params: Readonly<Record<string, string>>,
    parts: HttpParts,
  ) {
    this.request = request;
    this.response = response;
    this.route = route;
    this.params = params;
    this.parts = parts;
    const given = request.headers["x-request-id"];
    this.requestId = typeof given === "string" && REQUEST_ID.test(given) ? given : randomUUID();
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  get log(): Log {
    return this.parts.log;
  }

  /**
   * The circumstances of the work this request asks for. The signal aborts when the client leaves or the
   * deadline passes.
   * @param timeoutMs the body's own deadline, when it has one.
   */
  call(timeoutMs?: number): CallScope {
    this.#scope ??= openCall({
      requestId: this.requestId,
      log: this.parts.log,
      timeouts: [timeoutMs, headerNumber(this.header("x-request-timeout-ms"))],
      priority: headerNumber(this.header("x-priority")),
    });
    return this.#scope;
  }

  /** Called once the answer is out, or the client is gone. */
  close(): void {
    if (!this.response.writableFinished) this.#scope?.cancel("The client closed the connection");
    this.#scope?.end();
  }
}

/** Header values that are not numbers count as absent: a proxy may have put anything there. */
function headerNumber(value: string | undefined): number | undefined {
  const number = value === undefined ? Number.NaN : Number(value);
  return Number.isFinite(number) && number > 0 ? number : undefined;
}
