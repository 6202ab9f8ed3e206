import {
  CapstanError,
  type InferRequest,
  type Part,
  type Tensor,
  textOf,
  type Usage,
} from "../contracts/index.ts";
import { type Target, targetOf } from "../host/language-model.ts";
import type { ModelResponse } from "../host/types.ts";
import { shownMessage } from "./error-body.ts";
import type { Exchange } from "./exchange.ts";
import { partsOf, readEither } from "./generate.ts";
import { type GenerateRequest, readGenerate, readQuery } from "./generate-request.ts";
import { answerHeaders } from "./language-model.ts";
import { type Route, versioned } from "./route.ts";
import { sendEvents } from "./sse.ts";
import { inferRequestOf, modelOf } from "./v2.ts";

/** A stream for a browser's EventSource: events `token`, `done` and `failure`, each with an id. */
export const eventSourceRoutes: Route[] = [
  ...versioned({ method: "GET", path: "/v2/models/:model/stream", handle: fromQuery }),
  ...versioned({ method: "POST", path: "/v2/models/:model/stream", handle: fromBody }),
];

/**
 * An EventSource connects again when a stream has ended, and says what it has read: that stream is not begun anew.
 * 204 is how it is told to stop (HTML standard, server-sent events).
 */
async function fromQuery(x: Exchange): Promise<void> {
  const query = new URL(x.request.url!, "http://localhost").searchParams;
  refuseResuming(Object.fromEntries(query));
  if (x.header("last-event-id") !== undefined) {
    x.response.writeHead(204, { "x-request-id": x.requestId }).end();
    return;
  }
  return stream(x, readQuery(x, query));
}

async function fromBody(x: Exchange): Promise<void> {
  const { bytes, fields } = await readEither(x);
  if (fields === undefined) return fromTensors(x, inferRequestOf(x, bytes));
  refuseResuming({ ...fields, ...(fields.parameters as object | undefined) });
  return stream(x, readGenerate(x, fields));
}

async function fromTensors(x: Exchange, request: InferRequest): Promise<void> {
  refuseResuming(request.parameters);
  const target = targetOf(x.parts.plane, modelOf(x), x.params.version);
  const call = x.call(request.parameters);
  const responses = x.parts.plane.inferStream(target.name, target.version, request, call);
  return send(x, target, (writer) => writer.ofResponses(responses));
}

function refuseResuming({ resume, ticket }: Readonly<Record<string, unknown>>): void {
  if (ticket !== undefined) {
    throw new CapstanError("UNSUPPORTED", "This server gives no tickets: leave 'ticket' out", {
      param: "ticket",
    });
  }
  const off = [undefined, null, false, 0, "0", "false", ""];
  if (off.some((value) => value === resume)) return;
  const message =
    "Streams cannot be resumed here: leave 'resume' out, and ask again when a stream breaks off";
  throw new CapstanError("UNSUPPORTED", message, { param: "resume" });
}

async function stream(x: Exchange, asked: GenerateRequest): Promise<void> {
  const target = targetOf(x.parts.plane, modelOf(x), x.params.version);
  if (x.request.method === "HEAD") return send(x, target, none);
  return send(x, target, (writer) => writer.ofParts(partsOf(x, target, asked)));
}

function send(
  x: Exchange,
  target: Target,
  events: (writer: EventWriter) => AsyncIterable<string>,
): Promise<void> {
  const writer = new EventWriter(x.requestId);
  return sendEvents(x, events(writer), {
    headers: answerHeaders(x, target),
    failure: (error) => writer.event("failure", { code: error.code, error: shownMessage(x, error) }),
  });
}

async function* none(): AsyncGenerator<string> {}

/** Counts the events of one stream. */
class EventWriter {
  readonly #requestId: string;
  #count = 0;

  constructor(requestId: string) {
    this.#requestId = requestId;
  }

  async *ofParts(parts: AsyncIterable<Part>): AsyncGenerator<string> {
    for await (const part of parts) {
      if (part.choice !== 0) continue;
      if (part.type === "text") yield this.event("token", { text: part.text });
      if (part.type === "finish") yield this.#done(part.reason, part.usage);
    }
  }

  /** The last response of a language model says in its parameters how the answer ended. */
  async *ofResponses(responses: AsyncIterable<ModelResponse>): AsyncGenerator<string> {
    for await (const { outputs, parameters = {} } of responses) {
      const text = textOutput(outputs);
      if (text !== "") yield this.event("token", { text });
      if (parameters.triton_final_response !== true) continue;
      const { finish_reason, input_tokens, output_tokens } = parameters;
      const usage = { inputTokens: Number(input_tokens), outputTokens: Number(output_tokens) };
      yield this.#done(String(finish_reason), usage);
    }
  }

  #done(finish_reason: string, { inputTokens, outputTokens }: Usage): string {
    const usage = { input_tokens: inputTokens, output_tokens: outputTokens };
    return this.event("done", { finish_reason, usage });
  }

  event(name: string, data: object): string {
    this.#count += 1;
    return `event: ${name}\nid: ${this.#requestId}:${this.#count}\ndata: ${JSON.stringify(data)}\n\n`;
  }
}

/** "" where there is none. */
function textOutput(outputs: readonly Tensor[]): string {
  const output = outputs.find(({ name }) => name === "text_output");
  return output?.datatype === "BYTES" ? textOf(output.data as Uint8Array[]).join("") : "";
}
