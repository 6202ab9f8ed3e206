import { type Call, CapstanError, type Log, type TraceSpan } from "../../contracts/index.ts";
import { forwardedTrace } from "../../telemetry/trace-context.ts";
import type { Link } from "./link.ts";
import { errorFromWire, errorToWire, type Message } from "./messages.ts";

const forwarded = (headers: Readonly<Record<string, string | undefined>>) =>
  forwardedTrace((name) => headers[name]);

/** A value whose buffers are handed over. */
export class Handed {
  readonly value: unknown;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: unknown, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/** What one side does for the other. Results are copied, or a {@link Handed}. */
export interface Service {
  readonly methods: Readonly<Record<string, (args: never, call: Call) => unknown>>;
  readonly streams: Readonly<Record<string, (args: never, call: Call) => AsyncIterable<unknown>>>;
}

type Question = Extract<Message, { type: "ask" | "open" }>;
type Incoming = Extract<Message, { type: "ask" | "open" | "abort" | "credit" | "leave" }>;

/** What the other side has asked and this one works on. */
interface Work {
  readonly controller: AbortController;
  credit: number;
  left: boolean;
  wake?: () => void;
}

export type Answering = Pick<Answers, "receive" | "abort">;

/** The answering half of a line. */
export class Answers {
  readonly #link: Link;
  readonly #service: Service;
  readonly #traceOf: (traceparent: string) => TraceSpan | undefined;
  readonly #work = new Map<number, Work>();

  /** @param traceOf the span of this side's that the other side was given; other traces go on as they come. */
  constructor(link: Link, service: Service, traceOf: (traceparent: string) => TraceSpan | undefined) {
    this.#link = link;
    this.#service = service;
    this.#traceOf = traceOf;
  }

  receive(message: Incoming): void {
    if (message.type === "ask" || message.type === "open") {
      void this.#answer(message);
      return;
    }
    const work = this.#work.get(message.id);
    if (work === undefined) return;
    if (message.type === "credit") work.credit += message.more;
    else if (message.type === "abort") work.controller.abort(errorFromWire(message.reason));
    else {
      work.left = true;
      work.controller.abort(new CapstanError("CANCELLED", "The reader of the stream has left"));
    }
    work.wake?.();
  }

  abort(reason: unknown): void {
    for (const { controller, wake } of this.#work.values()) {
      controller.abort(reason);
      wake?.();
    }
  }

  async #answer(question: Question): Promise<void> {
    const { id } = question;
    const work: Work = {
      controller: new AbortController(),
      credit: question.type === "open" ? question.credit : 0,
      left: false,
    };
    this.#work.set(id, work);
    const { traceparent, tracestate, ...wire } = question.call;
    const trace =
      traceparent === undefined
        ? undefined
        : (this.#traceOf(traceparent) ?? forwarded({ traceparent, tracestate }));
    const call = { ...wire, trace, signal: work.controller.signal, log: wireLog(this.#link, id) };
    try {
      if (question.type === "open") await this.#answerStream(question, work, call);
      else this.#done(id, await this.#method(question)(question.args as never, call));
    } catch (error) {
      this.#link.send({ type: "failed", id, error: errorToWire(error) });
    } finally {
      this.#work.delete(id);
    }
  }

  async #answerStream({ id, method, args }: Question, work: Work, call: Call): Promise<void> {
    const start = this.#service.streams[method];
    if (start === undefined) throw unknownMethod(method);
    for await (const item of start(args as never, call)) {
      if (work.left) break;
      this.#send({ type: "item", id }, item);
      work.credit -= 1;
      while (work.credit <= 0 && !work.controller.signal.aborted) await wakeUp(work);
      if (work.left) break;
      call.signal.throwIfAborted();
    }
    this.#done(id, undefined);
  }

  #method({ method }: Question) {
    const found = this.#service.methods[method];
    if (found === undefined) throw unknownMethod(method);
    return found;
  }

  #done(id: number, result: unknown): void {
    this.#send({ type: "done", id }, result);
  }

  #send(message: { readonly type: "item" | "done"; readonly id: number }, result: unknown): void {
    const handed = result instanceof Handed;
    this.#link.send(
      { ...message, value: handed ? result.value : result },
      handed ? result.buffers : undefined,
    );
  }
}

function wakeUp(work: Work): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  work.wake = resolve;
  return promise;
}

function unknownMethod(method: string): CapstanError {
  return new CapstanError("INTERNAL", `An isolated model was asked for '${method}', which there is not`);
}

/** A log whose lines are written on the other side; `id` is the question they belong to, 0 for none. */
export function wireLog(link: Link, id: number): Log {
  const line = (level: keyof Log) => (fields: object, text: string) => {
    try {
      link.send({ type: "log", id, level, fields, text });
    } catch {
      link.send({ type: "log", id, level, fields: asText(fields), text });
    }
  };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** For fields that cannot be copied. */
function asText(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, String(value)]));
}
