import type { TicketBody } from "../host/streams/tickets.ts";
import { decodeInferRequest } from "../v2/index.ts";
import { EventTexts } from "./event-source-events.ts";
import type { ModelStream, OpenModel, StreamAsked } from "./event-source-model.ts";
import { goOn, startResumable, stopAsking } from "./event-source-resume.ts";
import {
  credentialOf,
  issueTicket,
  lastEventId,
  queryOf,
  refuseTicket,
  ticketOf,
} from "./event-source-ticket.ts";
import type { Exchange } from "./exchange.ts";
import { readEither } from "./generate.ts";
import { type GenerateRequest, readGenerate, readQuery } from "./generate-request.ts";
import { type JsonObject, parseObject } from "./json-body.ts";
import { type Route, versioned } from "./route.ts";
import { sendEvents } from "./sse.ts";
import { inferRequestOf, modelOf } from "./v2.ts";

/**
 * Streams for a browser's EventSource: events `token`, `done` and `failure`, each with an id. With `resume=1` a lost
 * client may come back with `Last-Event-ID`.
 * @param open finds the model of a request.
 */
export function eventSourceRoutes(open: OpenModel): Route[] {
  const path = "/v2/models/:model/stream";
  return [
    ...versioned({ method: "GET", path, handle: (x) => fromQuery(x, open(x)) }),
    ...versioned({ method: "POST", path, handle: (x) => fromBody(x, open(x)) }),
    ...versioned({ method: "POST", path: `${path}/tickets`, handle: (x) => giveTicket(x, open) }),
  ];
}

function giveTicket(x: Exchange, open: OpenModel): Promise<void> {
  open(x);
  return issueTicket(x);
}

async function fromQuery(x: Exchange, model: ModelStream): Promise<void> {
  if (x.request.method === "HEAD") return sendEvents(x, none(), { headers: model.headers() });
  const query = queryOf(x);
  const resume = isOn(query.get("resume"));
  const seen = lastEventId(x, query);
  if (seen !== undefined) return comeBack(x, resume, seen);
  const body = (await ticketOf(x))?.body;
  const asked = body === undefined ? ofText(readQuery(x, query)) : ofTicket(x, body);
  return answer(x, model, asked, resume);
}

async function fromBody(x: Exchange, model: ModelStream): Promise<void> {
  const { bytes, fields } = await readEither(x);
  if (fields === undefined) {
    const tensors = inferRequestOf(x, bytes);
    const { parameters } = tensors;
    return fromAsked(x, model, { parameters, tensors }, parameters);
  }
  const said = { ...fields, ...(fields.parameters as object | undefined) };
  return fromAsked(x, model, ofText(readGenerate(x, fields)), said);
}

async function fromAsked(
  x: Exchange,
  model: ModelStream,
  asked: StreamAsked,
  said: JsonObject,
): Promise<void> {
  const query = queryOf(x);
  refuseTicket(said.ticket ?? query.get("ticket") ?? undefined);
  const resume = isOn(said.resume) || isOn(query.get("resume"));
  const seen = lastEventId(x, query);
  return resume && seen !== undefined ? comeBack(x, resume, seen) : answer(x, model, asked, resume);
}

/** A stream that cannot be resumed is not begun anew: the browser that connects again had its answer, or the most of it. */
async function comeBack(x: Exchange, resume: boolean, seen: string): Promise<void> {
  return resume ? goOn(x, seen) : stopAsking(x);
}

async function answer(x: Exchange, model: ModelStream, asked: StreamAsked, resume: boolean): Promise<void> {
  if (resume) return startResumable(x, model, asked);
  const headers = model.headers();
  const texts = new EventTexts(x.requestId);
  const events = model.events(asked, x.call(asked.parameters), await credentialOf(x));
  return sendEvents(x, texts.of(events), { headers, failure: (error) => texts.failure(x, error) });
}

const ofText = (text: GenerateRequest): StreamAsked => ({ parameters: text.parameters, text });

function ofTicket(x: Exchange, { base64, headerLength }: TicketBody): StreamAsked {
  const bytes = Buffer.from(base64, "base64");
  const fields = headerLength === undefined ? parseObject(bytes) : undefined;
  if (fields !== undefined && fields.inputs === undefined) return ofText(readGenerate(x, fields));
  const signature = x.parts.plane.signature(modelOf(x), x.params.version);
  const tensors = decodeInferRequest(bytes, headerLength, signature);
  return { parameters: tensors.parameters, tensors };
}

const OFF: readonly unknown[] = [undefined, null, false, 0, "0", "false", ""];
const isOn = (value: unknown): boolean => !OFF.includes(value);

async function* none(): AsyncGenerator<string> {}
