import type { Call, TraceSpan } from "../../src/contracts/index.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Exchange, HttpHead } from "./exchange.ts";
import { isRecord, type JsonRecord, parseJson } from "./json.ts";
import { type Awaited, type OpenaiOptions, timeoutFor } from "./options.ts";
import { Patience } from "./patience.ts";
import { beginSpan } from "./span.ts";

export interface ReplyRequest {
  readonly route: string;
  readonly body: object;
  /** What `upstream_timeout` is about here. */
  readonly awaited: Awaited;
}

/** Largest whole answer that is read. */
const MAX_BYTES = 64 * 1024 * 1024;
/** As much of an error as a message may need. */
const MAX_ERROR_BYTES = 64 * 1024;

/** One request to one address, with its time limits. Disposing it closes the connection unless it is over. */
export class Reply implements Disposable {
  readonly #endpoint: Endpoint;
  readonly #options: OpenaiOptions;
  readonly #exchange: Exchange;
  readonly #patience: Patience;
  readonly #call: Call;
  readonly #span: TraceSpan | undefined;

  constructor(
    endpoint: Endpoint,
    { route, body, awaited }: ReplyRequest,
    options: OpenaiOptions,
    call: Call,
  ) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#call = call;
    this.#span = beginSpan(call, endpoint.address, route, body);
    this.#exchange = endpoint.post(route, body, call, this.#span);
    this.#patience = new Patience(call, (reason) => this.#exchange.cancel(reason));
    const limit = timeoutFor(awaited, options);
    this.#patience.within(limit, () => endpoint.faults.late(awaited, limit, "upstream_timeout"));
  }

  /** @throws UpstreamFault for every answer that is not a success. */
  async head(): Promise<HttpHead> {
    const head = await this.#wait(this.#exchange.head());
    this.#span?.set({ "http.response.status_code": head.status });
    if (head.status < 300) return head;
    const body = (await this.#read(MAX_ERROR_BYTES)).toString("utf8");
    this.#span?.end(String(head.status));
    throw this.#endpoint.faults.status(head.status, body, retryAfter(head));
  }

  next(): Promise<Buffer | undefined> {
    return this.#wait(this.#exchange.next());
  }

  /** A whole answer, which has to be a JSON object. */
  async json(): Promise<JsonRecord> {
    const { headers } = await this.head();
    const body = await this.#read(MAX_BYTES);
    const { faults } = this.#endpoint;
    if (body.length > MAX_BYTES) throw faults.bad(`more than ${MAX_BYTES} bytes`);
    const value = parseJson(body.toString("utf8"));
    if (!isRecord(value))
      throw faults.bad(`${headers["content-type"] ?? "no content type"}, not a JSON object`);
    if (value.error) throw faults.reported(value);
    return value;
  }

  /** The answer flows: from now on only a pause in it can be too long. */
  flows(): void {
    const limit = this.#options.idle_timeout;
    this.#patience.each(limit, () => this.#endpoint.faults.late("further token", limit, "idle_timeout"));
  }

  /** Nothing more is wanted of an answer that is complete. */
  release(): void {
    this.#exchange.release();
  }

  [Symbol.dispose](): void {
    this.#patience[Symbol.dispose]();
    this.#exchange.cancel(new Error("the answer was left"));
    const { signal } = this.#call;
    this.#span?.end(signal.aborted ? signal.reason : undefined);
  }

  async #wait<T>(work: Promise<T>): Promise<T> {
    try {
      return await this.#patience.wait(work);
    } catch (error) {
      this.#span?.end(error);
      throw error;
    }
  }

  /** Stops after the chunk that goes beyond `limit`. */
  async #read(limit: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    while (size <= limit) {
      const chunk = await this.next();
      if (chunk === undefined) break;
      chunks.push(chunk);
      size += chunk.length;
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }
}

/** RFC 9110: seconds, or a date; OpenAI and Azure also give milliseconds. */
function retryAfter({ headers }: HttpHead): number | undefined {
  const exact = Number(headers["retry-after-ms"] || Number.NaN);
  if (Number.isFinite(exact)) return Math.max(0, exact);
  const value = headers["retry-after"];
  if (value === undefined) return undefined;
  const milliseconds = /^\s*\d+(\.\d+)?\s*$/.test(value)
    ? Number(value) * 1000
    : Date.parse(value) - Date.now();
  return Number.isFinite(milliseconds) ? Math.max(0, milliseconds) : undefined;
}
