import { type Call, CapstanError, type Log, type TraceSpan } from "../../contracts/index.ts";
import { type Answering, Answers, type Service } from "./answers.ts";
import { Inbox } from "./inbox.ts";
import type { Link } from "./link.ts";
import { callToWire, errorFromWire, errorToWire, type Message } from "./messages.ts";

/** Items of a stream that are on their way at once: a port itself takes any number. */
export const CREDIT = 32;

/** What this side waits for. */
interface Pending {
  readonly trace: TraceSpan | undefined;
  readonly log: Log;
  readonly inbox: Inbox;
}

/**
 * One side of a line: asks the other, and answers it. Both sides ask and answer alike. Deadlines and priorities go
 * along with each question, aborts follow it, and streams are sent no faster than they are read.
 */
export class Peer {
  readonly #link: Link;
  readonly #log: Log;
  readonly #answers: Answering;
  readonly #pending = new Map<number, Pending>();
  readonly #pings = new Map<number, () => void>();
  /** Called when something that was asked is not wanted any more. */
  onAbort: () => void = () => {};
  onNote: (name: string, value: unknown) => void = () => {};
  /** Questions that were answered, and did not fail. */
  answered = 0;
  #last = 0;
  #closed: CapstanError | undefined;

  /** @param log for what the other side logs outside of a question. */
  constructor(link: Link, service: Service, log: Log) {
    this.#link = link;
    this.#log = log;
    this.#answers = new Answers(link, service, (traceparent) => this.#traceOf(traceparent));
    link.listen((message) => this.#receive(message));
  }

  /** Questions that the other side has not answered, also those that nobody waits for any more. */
  get waiting(): number {
    return this.#pending.size;
  }

  /** @param transfer buffers in `args` that nobody here needs afterwards. */
  async ask<T>(method: string, args: unknown, call: Call, transfer?: readonly ArrayBuffer[]): Promise<T> {
    const { id, inbox } = this.#open(call);
    const stop = this.#forwardAbort(id, inbox, call);
    try {
      this.#send(id, { type: "ask", id, method, args, call: callToWire(call) }, transfer);
      const { value } = await inbox.next();
      return value as T;
    } finally {
      stop();
    }
  }

  /** Leaving the loop early stops the other side. */
  async *stream<T>(
    method: string,
    args: unknown,
    call: Call,
    transfer?: readonly ArrayBuffer[],
  ): AsyncGenerator<T> {
    const { id, inbox } = this.#open(call);
    const stop = this.#forwardAbort(id, inbox, call);
    let read = 0;
    try {
      const wire = callToWire(call);
      this.#send(id, { type: "open", id, method, args, call: wire, credit: CREDIT }, transfer);
      for (;;) {
        const { done, value } = await inbox.next();
        if (done) return;
        yield value as T;
        read += 1;
        if (read % (CREDIT / 2) === 0) this.#link.send({ type: "credit", id, more: CREDIT / 2 });
      }
    } finally {
      stop();
      if (this.#pending.has(id)) this.#link.send({ type: "leave", id });
    }
  }

  /** Resolves when the other side's event loop turns. */
  ping(): Promise<void> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pings.set(id, resolve);
    this.#link.send({ type: "ping", id });
    return promise;
  }

  note(name: string, value: unknown): void {
    this.#link.send({ type: "note", name, value });
  }

  /** The other side is gone: what it was asked fails with `reason`, what it asked is aborted. */
  close(reason: CapstanError): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    for (const { inbox } of this.#pending.values()) inbox.fail(reason);
    this.#pending.clear();
    this.#answers.abort(reason);
  }

  #open(call: Call) {
    call.signal.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    const id = ++this.#last;
    const inbox = new Inbox();
    this.#pending.set(id, { inbox, log: call.log, trace: call.trace });
    return { id, inbox };
  }

  #send(id: number, message: Message, transfer?: readonly ArrayBuffer[]): void {
    try {
      this.#link.send(message, transfer);
    } catch (cause) {
      this.#pending.delete(id);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CapstanError("INTERNAL", `The request cannot be sent to an isolated model: ${why}`, {
        cause,
      });
    }
  }

  /** What the other side asks while it answers a question is part of that question's work. */
  #traceOf(traceparent: string): TraceSpan | undefined {
    for (const { trace } of this.#pending.values())
      if (trace?.headers.traceparent === traceparent) return trace;
    return undefined;
  }

  /** The caller does not wait for the other side, which may be unable to hear. */
  #forwardAbort(id: number, inbox: Inbox, { signal }: Call): () => void {
    const abort = () => {
      if (this.#pending.has(id)) this.#link.send({ type: "abort", id, reason: errorToWire(signal.reason) });
      inbox.abort(signal.reason);
      this.onAbort();
    };
    signal.addEventListener("abort", abort, { once: true });
    return () => signal.removeEventListener("abort", abort);
  }

  #receive(message: Message): void {
    if (this.#closed !== undefined) return;
    const pending = "id" in message ? this.#pending.get(message.id) : undefined;
    if (message.type === "item") pending?.inbox.put(message.value);
    else if (message.type === "done") this.#answered(message);
    else if (message.type === "failed")
      this.#settle(message.id, (inbox) => inbox.fail(errorFromWire(message.error)));
    else if (message.type === "log") (pending?.log ?? this.#log)[message.level](message.fields, message.text);
    else if (message.type === "ping") this.#link.send({ type: "pong", id: message.id });
    else if (message.type === "pong") this.#pings.get(message.id)?.();
    else if (message.type === "note") this.onNote(message.name, message.value);
    else this.#answers.receive(message);
    if (message.type === "pong") this.#pings.delete(message.id);
  }

  #answered({ id, value }: Extract<Message, { type: "done" }>): void {
    this.answered += 1;
    this.#settle(id, (inbox) => inbox.end(value));
  }

  #settle(id: number, how: (inbox: Inbox) => void): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (pending !== undefined) how(pending.inbox);
  }
}
