import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { Agent, request } from "undici";
import type { Call } from "../../src/contracts/index.ts";
import { publicLookup, refusePrivate } from "./addresses.ts";
import { networkFailure, upstream } from "./failures.ts";
import type { HttpOptions } from "./options.ts";
import { label } from "./source.ts";

/** An answer whose body must be read or destroyed. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
  /** After redirects. */
  readonly url: URL;
}

interface Question {
  readonly method: "GET" | "HEAD";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Asks, and follows redirects itself: each hop is checked, and the credentials stay with the first host. */
export class HttpClient {
  readonly #options: HttpOptions;
  readonly #agent: Agent;

  constructor(options: HttpOptions) {
    this.#options = options;
    const lookup = options.allow_private ? {} : { lookup: publicLookup };
    this.#agent = new Agent({
      connect: { timeout: options.connect_timeout, ...lookup },
      headersTimeout: options.idle_timeout,
      bodyTimeout: options.idle_timeout,
    });
  }

  /** @throws CapstanError UPSTREAM when there is no answer, or one that leads nowhere. */
  async ask(method: Question["method"], url: URL, headers: Question["headers"], call: Call): Promise<Answer> {
    const seen = new Set<string>();
    let question: Question = { method, url, headers: { ...this.#credentials(), ...headers } };
    for (;;) {
      const answer = await this.#hop(question, seen.size > 0, call);
      const target = REDIRECTS.has(answer.status) ? answer.headers.location : undefined;
      if (target === undefined) return answer;
      answer.body.destroy();
      seen.add(question.url.href);
      question = this.#redirected(question, String(target), headers, seen);
    }
  }

  close(): Promise<void> {
    return this.#agent.destroyed ? Promise.resolve() : this.#agent.destroy();
  }

  #credentials(): Record<string, string> {
    const { token, headers } = this.#options;
    return token === "" ? { ...headers } : { ...headers, authorization: `Bearer ${token}` };
  }

  #redirected(
    from: Question,
    target: string,
    plain: Question["headers"],
    seen: ReadonlySet<string>,
  ): Question {
    const url = URL.parse(target, from.url.href);
    const start = label(from.url);
    if (url === null || !/^https?:$/.test(url.protocol)) {
      throw upstream(`${start} redirects to what is no http address`);
    }
    if (from.url.protocol === "https:" && url.protocol === "http:") {
      throw upstream(`${start} redirects from https to ${label(url)}, where anybody could change the file`);
    }
    url.hash = "";
    if (seen.has(url.href)) throw upstream(`${start} redirects in a circle, back to ${label(url)}`);
    if (seen.size > this.#options.max_redirects) {
      throw upstream(
        `${start} is redirect number ${seen.size}; max_redirects is ${this.#options.max_redirects}`,
      );
    }
    return { ...from, url, headers: url.origin === from.url.origin ? from.headers : plain };
  }

  async #hop({ method, url, headers }: Question, redirected: boolean, call: Call): Promise<Answer> {
    call.signal.throwIfAborted();
    try {
      if (!this.#options.allow_private) refusePrivate(url);
      const answer = await request(url, {
        method,
        // Bytes as they are stored: a digest and a range are about those.
        headers: { "user-agent": "capstan", "accept-encoding": "identity", ...headers },
        dispatcher: this.#agent,
        // A signal of its own: a body that is left early must leave no listener on the caller's.
        signal: AbortSignal.any([call.signal]),
      });
      // A body destroyed early says so; whoever destroys it knows.
      answer.body.on("error", () => {});
      // Read to its end at once, so that the connection serves the next question.
      if (method === "HEAD") answer.body.resume();
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, url };
    } catch (cause) {
      call.signal.throwIfAborted();
      throw networkFailure(url, cause, redirected);
    }
  }
}
