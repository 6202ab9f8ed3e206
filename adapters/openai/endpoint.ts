import { FormData, Pool } from "undici";
import type { Call, TraceSpan } from "../../src/contracts/index.ts";
import type { Address } from "./address.ts";
import { Breaker } from "./breaker.ts";
import { Exchange } from "./exchange.ts";
import { Faults, UpstreamFault } from "./failures.ts";
import type { OpenaiOptions } from "./options.ts";

/** What stands for one request while it is with an endpoint. */
export interface Lease extends Disposable {
  /** The answer has begun. */
  answered(): void;
  /** The answer is complete. */
  succeeded(): void;
  failed(error: unknown): void;
}

/** One address of an upstream: its connections, its load and its health. */
export class Endpoint implements AsyncDisposable {
  readonly address: Address;
  readonly faults: Faults;
  readonly breaker: Breaker;
  /** Requests under way. */
  load = 0;
  readonly #options: OpenaiOptions;
  readonly #pool: Pool;
  readonly #query: string;

  constructor(model: string, address: Address, options: OpenaiOptions) {
    this.address = address;
    this.#options = options;
    this.faults = new Faults(model, address.label, secretsOf(options));
    this.breaker = new Breaker(options.circuit_breaker);
    this.#pool = openPool(address, options);
    const query = new URLSearchParams(options.query).toString();
    this.#query = query === "" ? "" : `?${query}`;
  }

  /**
   * Posts to a route such as `chat/completions`: JSON, or a form as it is.
   * @param span the request is made within; absent where nobody traces.
   */
  post(route: string, body: object, call: Call, span: TraceSpan | undefined): Exchange {
    const path = `${this.address.path}/${route}${this.#query}`;
    const headers = {
      ...authorization(this.#options),
      ...this.#options.headers,
      ...span?.headers,
      "x-request-id": call.requestId,
    };
    if (body instanceof FormData) return new Exchange(this.#pool, { path, headers, body }, this.faults);
    const json = { ...headers, "content-type": "application/json" };
    return new Exchange(this.#pool, { path, headers: json, body: JSON.stringify(body) }, this.faults);
  }

  lease(): Lease {
    const { breaker } = this;
    const lease: Lease = {
      answered: () => breaker.answered(),
      succeeded: () => breaker.succeeded(),
      failed: (error) => this.#failed(error),
      [Symbol.dispose]: () => {
        this.load -= 1;
        breaker.end(lease);
      },
    };
    this.load += 1;
    breaker.begin(lease);
    return lease;
  }

  #failed(error: unknown): void {
    if (!(error instanceof UpstreamFault)) return;
    if (error.unhealthy) this.breaker.failed();
    else this.breaker.answered();
    if (error.retryAfterMs !== undefined) this.breaker.rest(error.retryAfterMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}

function openPool({ origin }: Address, { connections, connect_timeout }: OpenaiOptions): Pool {
  return new Pool(origin, {
    connections,
    // Closing the connection is how an upstream learns that nobody waits.
    allowH2: false,
    // Patience has the limits: these would cut a stream that is alive.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: connect_timeout },
  });
}

function authorization({ api_key }: OpenaiOptions): Record<string, string> {
  return api_key === "" ? {} : { authorization: `Bearer ${api_key}` };
}

const SHORTEST_SECRET = 8;

/** What no message may repeat: the key, and every longer word of the headers and the query. */
function secretsOf({ api_key, headers, query }: OpenaiOptions): string[] {
  const words = [...Object.values(headers), ...Object.values(query)].flatMap((value) => value.split(/\s+/));
  const secrets = [api_key, ...words.filter(({ length }) => length >= SHORTEST_SECRET)];
  return secrets.filter((secret) => secret !== "").sort((a, b) => b.length - a.length);
}
