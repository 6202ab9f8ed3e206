import { createWriteStream } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError, isCapstanError } from "../../src/contracts/index.ts";
import { PrivateAddressError } from "./addresses.ts";
import type { Answer, HttpClient } from "./client.ts";
import { networkFailure, statusFailure, upstream } from "./failures.ts";
import type { HttpOptions } from "./options.ts";
import { label } from "./source.ts";
import { lengthOf, rangeValidator, startOf } from "./validators.ts";

const FIRST_PAUSE_MS = 100;

/** Something that may go away by itself: a connection that broke, a server that is restarting. */
class Passing extends Error {
  readonly failure: CapstanError;

  constructor(failure: CapstanError) {
    super(failure.message);
    this.failure = failure;
  }
}

/** One file on its way to the disk; what has come is kept when the connection breaks. */
export class Download {
  readonly #client: HttpClient;
  readonly #options: HttpOptions;
  readonly #target: string;
  /** Checks the headers of an answer before its body is taken. */
  readonly #check: (headers: IncomingHttpHeaders) => void;
  #received = 0;
  #validator: string | undefined;

  constructor(
    client: HttpClient,
    options: HttpOptions,
    target: string,
    check: (headers: IncomingHttpHeaders) => void,
  ) {
    this.#client = client;
    this.#options = options;
    this.#target = target;
    this.#check = check;
  }

  /** @throws CapstanError when the file did not come whole, after the attempts that the options allow. */
  async run(url: URL, call: Call): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#attempt(url, call);
      } catch (cause) {
        call.signal.throwIfAborted();
        if (!(cause instanceof Passing)) throw cause;
        if (attempt >= this.#options.max_retries) throw cause.failure;
        call.log.warn({ received: this.#received, reason: cause.message }, `Downloading ${label(url)} again`);
        await pause(FIRST_PAUSE_MS * 2 ** attempt, call);
      }
    }
  }

  async #attempt(url: URL, call: Call): Promise<void> {
    const answer = await this.#client.ask("GET", url, this.#range(), call).catch(passing);
    try {
      this.#accept(answer);
      await this.#save(answer, call);
    } finally {
      answer.body.destroy();
    }
  }

  #range(): Record<string, string> {
    if (this.#received === 0 || this.#validator === undefined) return {};
    return { range: `bytes=${this.#received}-`, "if-range": this.#validator };
  }

  /** Decides where the body goes: behind what is there, or from the start. */
  #accept({ status, headers, url }: Answer): void {
    if (status === 416 && this.#received > 0) {
      this.#received = 0;
      throw new Passing(statusFailure(url, status));
    }
    if (status === 206 && startOf(headers) !== this.#received) {
      throw upstream(`${label(url)} answered another range of bytes than was asked for`);
    }
    if (status !== 206) this.#received = 0;
    if (status !== 200 && status !== 206) throw refusal(statusFailure(url, status), status);
    this.#check(headers);
    this.#validator = rangeValidator(headers);
    this.#limit(lengthOf(headers) ?? 0, url);
  }

  async #save({ headers, body, url }: Answer, { signal }: Call): Promise<void> {
    const file = createWriteStream(this.#target, { flags: this.#received === 0 ? "w" : "a" });
    let disk: unknown;
    file.on("error", (error) => {
      disk ??= error;
    });
    try {
      await pipeline(body, (chunks: AsyncIterable<Buffer>) => this.#counted(chunks, url), file, { signal });
    } catch (cause) {
      signal.throwIfAborted();
      if (isCapstanError(cause)) throw cause;
      if ((disk as NodeJS.ErrnoException)?.path !== undefined || isDiskFault(cause)) {
        throw new CapstanError("INTERNAL", `Cannot write ${this.#target}: ${(cause as Error).message}`, {
          cause,
        });
      }
      throw new Passing(networkFailure(url, cause, false));
    }
    const expected = lengthOf(headers) ?? this.#received;
    if (this.#received !== expected) {
      throw new Passing(upstream(`${label(url)} gave ${this.#received} of ${expected} bytes`));
    }
  }

  async *#counted(chunks: AsyncIterable<Buffer>, url: URL): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.#limit(this.#received + chunk.length, url);
      yield chunk;
      this.#received += chunk.length;
    }
  }

  #limit(bytes: number, url: URL): void {
    const { max_bytes } = this.#options;
    if (bytes > max_bytes) throw upstream(`${label(url)} is larger than max_bytes, ${max_bytes}`);
  }
}

const DISK_FAULTS: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EISDIR", "EFBIG"]);
const isDiskFault = (cause: unknown) => DISK_FAULTS.has((cause as NodeJS.ErrnoException).code ?? "");

/** Of an exchange without an answer: broken connections pass, redirects to forbidden places do not. */
function passing(cause: unknown): never {
  const passes =
    isCapstanError(cause) && cause.cause !== undefined && !(cause.cause instanceof PrivateAddressError);
  throw passes ? new Passing(cause) : cause;
}

const refusal = (failure: CapstanError, status: number) =>
  status >= 500 || status === 429 ? new Passing(failure) : failure;

async function pause(milliseconds: number, { signal }: Call): Promise<void> {
  // The timer rejects with an AbortError of its own.
  await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}
