import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Call, ErrorCode, Log, Parameters, Principal, TraceSpan } from "../contracts/index.ts";
import { type CallScope, openCall, requestIdOf } from "../host/call.ts";
import type { Caller } from "../host/local-caller.ts";
import type { RunningCall } from "../host/running.ts";
import { forwardedTrace } from "../telemetry/trace-context.ts";
import type { HttpParts } from "./parts.ts";

/** One HTTP request and its answer. */
export class Exchange implements Caller, RunningCall {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly params: Readonly<Record<string, string>>;
  /** The route's template: a label of metrics. */
  readonly route: string;
  readonly parts: HttpParts;
  readonly requestId: string;
  readonly started = performance.now();
  /** Whose the request is; known where access control asks for a key. */
  principal: Principal | undefined;
  /** Tells who sends a credential that another server checks. */
  caller: string | undefined;
  /** Of this request; absent where nobody asked for traces. */
  span: TraceSpan | undefined;
  /** How the work failed, if it did. */
  failure: ErrorCode | undefined;
  #release: (() => void) | undefined;
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
    this.requestId = requestIdOf(this.header("x-request-id"));
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** `X-Session-Id`. Most clients write UTF-8, which Node reads as Latin-1; what is no UTF-8 is that. */
  get sessionHeader(): string | undefined {
    const value = this.header("x-session-id");
    if (value === undefined) return undefined;
    const bytes = Buffer.from(value, "latin1");
    return isUtf8(bytes) ? bytes.toString() : value;
  }

  /** Who may cancel it, and read what it left behind: without access control, whoever has the same address. */
  get owner(): string {
    return this.principal?.id ?? this.caller ?? this.address;
  }

  get address(): string {
    return this.request.socket.remoteAddress ?? "";
  }

  get host(): string {
    return this.header("host") ?? "localhost";
  }

  get log(): Log {
    return this.parts.log;
  }

  /**
   * The circumstances of the work this request asks for. The signal aborts when the client leaves or a deadline
   * passes.
   */
  call(parameters?: Parameters): CallScope {
    if (this.#scope === undefined) {
      this.#scope = openCall({
        requestId: this.requestId,
        log: this.parts.log,
        parameters,
        header: (name) => this.header(name),
        trace: this.span,
        ...(this.principal && { principal: this.principal }),
      });
      this.parts.running.add(this);
      if (this.principal) this.#release = this.parts.access?.hold(this.principal, (why) => this.cancel(why));
    }
    return this.#scope;
  }

  /** As {@link call}, for an answer that goes out when it is complete. */
  wholeCall(parameters?: Parameters): Call {
    return { ...this.call(parameters), whole: true };
  }

  /** Of this request, or the one that its client names. */
  get trace(): TraceSpan | undefined {
    return this.span ?? forwardedTrace((name) => this.header(name));
  }

  /** Headers that the work gave its answer, also when it failed. */
  get noted(): Readonly<Record<string, string>> | undefined {
    return this.#scope?.record.headers;
  }

  /** Stops the work; the answer says why. */
  cancel(reason: string): void {
    this.#scope?.cancel(reason);
  }

  /** Called once the answer is out, or the client is gone. */
  close(): void {
    if (!this.response.writableFinished) this.#scope?.cancel("The client closed the connection");
    this.#scope?.end();
    this.#release?.();
    this.parts.running.delete(this);
  }
}
