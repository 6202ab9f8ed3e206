import { type CapstanError, type Part, type Tensor, textOf, type Usage } from "../contracts/index.ts";
import { isLast, LOST, type NumberedEvent, type StreamEvent, StreamLost } from "../host/streams/event.ts";
import type { ModelResponse } from "../host/types.ts";
import { reportError, shownMessage } from "./error-body.ts";
import type { Exchange } from "./exchange.ts";

/** The events of a language model's answer. */
export async function* eventsOfParts(parts: AsyncIterable<Part>): AsyncGenerator<StreamEvent> {
  for await (const part of parts) {
    if (part.choice !== 0) continue;
    if (part.type === "text") yield token(part.text);
    if (part.type === "step") yield step(part);
    if (part.type === "finish") yield done(part.reason, part.usage);
  }
}

/** The events of the responses to one inference request. One of them says in its parameters how the answer ends. */
export async function* eventsOfResponses(
  responses: AsyncIterable<ModelResponse>,
): AsyncGenerator<StreamEvent> {
  let last: ModelResponse["parameters"];
  for await (const { outputs, parameters } of responses) {
    if (parameters?.step !== undefined) yield stepOf(parameters);
    const text = textOutput(outputs);
    if (text !== "") yield token(text);
    if (parameters?.finish_reason !== undefined) last = parameters;
  }
  yield done(String(last?.finish_reason ?? "stop"), usageOf(last));
}

/** Undefined where the model does not tell. */
function usageOf({ input_tokens, output_tokens }: ModelResponse["parameters"] = {}): Usage | undefined {
  if (input_tokens === undefined || output_tokens === undefined) return undefined;
  return { inputTokens: Number(input_tokens), outputTokens: Number(output_tokens) };
}

const token = (text: string): StreamEvent => ({ name: "token", data: JSON.stringify({ text }) });

const step = ({ name, detail }: Extract<Part, { type: "step" }>): StreamEvent => ({
  name: "step",
  data: JSON.stringify({ name, detail }),
});

function stepOf({ step: name, step_detail: detail }: NonNullable<ModelResponse["parameters"]>): StreamEvent {
  const given = typeof detail === "string" ? { detail: JSON.parse(detail) as unknown } : {};
  return { name: "step", data: JSON.stringify({ name, ...given }) };
}

function done(finish_reason: string, usage: Usage | undefined): StreamEvent {
  const counts = usage && { input_tokens: usage.inputTokens, output_tokens: usage.outputTokens };
  return { name: "done", data: JSON.stringify({ finish_reason, usage: counts }) };
}

/** `text_output`, else the only output of texts; "" where there is none. */
function textOutput(outputs: readonly Tensor[]): string {
  const texts = outputs.filter(({ datatype }) => datatype === "BYTES");
  const output =
    texts.find(({ name }) => name === "text_output") ?? (texts.length === 1 ? texts[0] : undefined);
  return output === undefined ? "" : textOf(output.data as Uint8Array[]).join("");
}

export function failureOf(x: Exchange, error: CapstanError): StreamEvent {
  const data = JSON.stringify({ code: error.code, error: shownMessage(x, error) });
  return { name: "failure", data, error };
}

/** The event for what was thrown; it is logged as well. */
export const reportFailure = (x: Exchange, thrown: unknown): StreamEvent =>
  failureOf(x, reportError(x, thrown));

/** What a browser waits before it connects again, in milliseconds: well within the time of grace. */
const RETRY_MS = 1000;

/** The text of a stream's events. */
export class EventTexts {
  readonly #id: string;
  #last = 0;
  /** Goes out with the first event. */
  #greeting: string;
  /** The only event of a stream, which a status was to say instead. */
  #refusal: StreamEvent | undefined;

  /**
   * @param id of the stream; each event's own is made of it.
   * @param retry tells the browser how soon to come back.
   */
  constructor(id: string, { retry = false } = {}) {
    this.#id = id;
    this.#greeting = retry ? `retry: ${RETRY_MS}\n` : "";
  }

  /** @throws what failed when nothing was sent before: a status says more than a stream. */
  async *of(events: AsyncIterable<StreamEvent | NumberedEvent>, after = 0): AsyncGenerator<string> {
    this.#last = after;
    for await (const event of events) {
      if (this.#last === 0 && event.error !== undefined) {
        this.#refusal = event;
        throw event.error;
      }
      this.#last = "number" in event ? event.number : this.#last + 1;
      yield this.#text(event, `${this.#id}:${this.#last}`);
      if (isLast(event)) return;
    }
  }

  /**
   * A comment. Of a stream that may be come back to, the first one before its first event says under which id: a
   * browser keeps that without telling the page (HTML standard, server-sent events).
   */
  heartbeat(): string {
    const greeting = this.#greeting;
    this.#greeting = "";
    return `: ping\n${greeting && `${greeting}id: ${this.#id}:0\n`}\n`;
  }

  /** The last event of a stream that nobody comes back to. */
  failure(x: Exchange, error: CapstanError): string {
    this.#last += 1;
    return this.#text(failureOf(x, error), `${this.#id}:${this.#last}`);
  }

  /**
   * The last event of a connection to a stream that may still be come back to: without an id, so that the client goes
   * on after what it has. A lost stream tells it not to; and one that failed before its first token, when there was a
   * heartbeat already, is over.
   */
  interruption(x: Exchange, error: CapstanError): string {
    if (this.#refusal?.error === error) return this.#text(this.#refusal, `${this.#id}:1`);
    return this.#text(failureOf(x, error), error instanceof StreamLost ? `${this.#id}:${LOST}` : undefined);
  }

  #text({ name, data }: StreamEvent, id: string | undefined): string {
    const greeting = this.#greeting;
    this.#greeting = "";
    return `${greeting}event: ${name}\n${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`;
  }
}
