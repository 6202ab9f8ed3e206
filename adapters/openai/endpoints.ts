import { setTimeout as delay } from "node:timers/promises";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { Endpoint, type Lease } from "./endpoint.ts";
import { UpstreamFault } from "./failures.ts";
import { type Awaited, type OpenaiOptions, timeoutFor } from "./options.ts";

const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 8000;

/** The addresses of one model: who gets the next request, and what happens when one fails. */
export class Endpoints implements AsyncDisposable {
  readonly #model: string;
  readonly #options: OpenaiOptions;
  readonly #all: readonly Endpoint[];
  #turn = 0;

  constructor(model: string, options: OpenaiOptions) {
    this.#model = model;
    this.#options = options;
    this.#all = options.base_url.map((address) => new Endpoint(model, address, options));
  }

  /** Runs `use` with one address after the other until it succeeds or there is no point in asking again. */
  async run<T>(call: Call, use: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    const attempts = new Attempts("answer");
    for (;;) {
      const endpoint = this.#next(attempts, call);
      {
        using lease = endpoint.lease();
        try {
          const value = await use(endpoint);
          lease.succeeded();
          return value;
        } catch (error) {
          attempts.last = failure(error, lease, call);
        }
      }
      await this.#beforeNext(attempts, endpoint, call);
    }
  }

  /** As {@link run}; a stream that has begun is never asked for again. */
  async *stream<T>(call: Call, use: (endpoint: Endpoint) => AsyncIterable<T>): AsyncGenerator<T> {
    const attempts = new Attempts("first token");
    for (;;) {
      const endpoint = this.#next(attempts, call);
      {
        let begun = false;
        using lease = endpoint.lease();
        try {
          for await (const item of use(endpoint)) {
            if (!begun) lease.answered();
            begun = true;
            yield item;
          }
          lease.succeeded();
          return;
        } catch (error) {
          attempts.last = failure(error, lease, call);
          if (begun) throw error;
        }
      }
      await this.#beforeNext(attempts, endpoint, call);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((endpoint) => endpoint[Symbol.asyncDispose]()));
  }

  /** Who is asked now; throws when there is nobody. */
  #next({ tried, last, awaited }: Attempts, call: Call): Endpoint {
    call.signal.throwIfAborted();
    const endpoint = this.#all.length === 1 ? this.#only() : this.#choose(tried);
    if (endpoint === undefined) throw last ?? this.#allOpen();
    call.log.info(this.#fields(endpoint, awaited), "Asking the upstream");
    return endpoint;
  }

  #only(): Endpoint | undefined {
    const only = this.#all[0]!;
    return only.breaker.allows ? only : undefined;
  }

  /** The least loaded of the healthy ones, else of those that may be asked. Equal ones take turns. */
  #choose(tried: ReadonlySet<Endpoint>): Endpoint | undefined {
    const allowed = this.#all.filter((endpoint) => endpoint.breaker.allows);
    const fresh = allowed.filter((endpoint) => !tried.has(endpoint));
    const left = fresh.length > 0 ? fresh : allowed;
    const healthy = left.filter((endpoint) => endpoint.breaker.healthy);
    const candidates = healthy.length > 0 ? healthy : left;
    const least = Math.min(...candidates.map(({ load }) => load));
    const equal = candidates.filter(({ load }) => load === least);
    this.#turn = (this.#turn + 1) % this.#all.length;
    return equal[this.#turn % equal.length];
  }

  /** Returns when another attempt may be made, and throws the error otherwise. */
  async #beforeNext(attempts: Attempts, endpoint: Endpoint, call: Call): Promise<void> {
    const { tried, last: error, awaited } = attempts;
    const hopeless = attempts.failed >= this.#options.max_retries;
    if (!(error instanceof UpstreamFault && error.retry) || hopeless) throw error;
    attempts.failed += 1;
    tried.add(endpoint);
    const others = this.#all.some((each) => !tried.has(each) && each.breaker.allows);
    const wait = others ? 0 : (error.retryAfterMs ?? backoff(attempts.failed - 1));
    if (wait > this.#longestWait(call)) throw error;
    call.log.warn(
      { ...this.#fields(endpoint, awaited), err: error.message, wait_ms: wait },
      "Asking the upstream again",
    );
    if (others) return;
    tried.clear();
    await pause(wait, call);
  }

  /** A caller who would not be there any more may be answered by another model instead. */
  #longestWait({ deadline = Infinity }: Call): number {
    return Math.min(timeoutFor("first token", this.#options), deadline - Date.now());
  }

  #allOpen(): CapstanError {
    const wait = Math.min(...this.#all.map(({ breaker }) => breaker.reopensIn));
    const labels = this.#all.map(({ address }) => address.label).join(", ");
    const text = `failed too often and is left alone; it is asked again in ${wait} ms`;
    return new CapstanError("UPSTREAM", `Model '${this.#model}': upstream ${labels} ${text}`);
  }

  #fields({ address }: Endpoint, awaited: Awaited): object {
    const timeout_ms = timeoutFor(awaited, this.#options);
    return { model: this.#model, timeout_ms, upstream: address.label };
  }
}

/** What was tried for one request. */
class Attempts {
  readonly awaited: Awaited;
  readonly tried = new Set<Endpoint>();
  /** Those that failed and were made up for. */
  failed = 0;
  last: unknown;

  constructor(awaited: Awaited) {
    this.awaited = awaited;
  }
}

/** The error as the endpoint's health sees it; a caller who has gone is no fault of the endpoint. */
function failure(error: unknown, lease: Lease, { signal }: Call): unknown {
  signal.throwIfAborted();
  lease.failed(error);
  return error;
}

/** Exponential, with jitter, so that the callers of a server that was down do not come back all at once. */
function backoff(attempt: number): number {
  const longest = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
  return Math.round(longest * (0.5 + Math.random() / 2));
}

/** Waits, or rejects with the call's reason. */
async function pause(milliseconds: number, { signal }: Call): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}
