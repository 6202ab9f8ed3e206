import { type Call, CapstanError } from "../contracts/index.ts";
import { fingerprint } from "../host/streams/credential.ts";
import {
  LOST,
  type NumberedEvent,
  parseEventId,
  type StreamEvent,
  StreamLost,
} from "../host/streams/event.ts";
import type { StreamControl } from "../host/streams/resumable.ts";
import type { SharedReader, StreamOwner } from "../host/streams/shared-log.ts";
import { usedTicket } from "../host/streams/tickets.ts";
import { EventTexts, reportFailure } from "./event-source-events.ts";
import type { ModelStream, StreamAsked } from "./event-source-model.ts";
import { credentialOf, queryOf, ticketOf } from "./event-source-ticket.ts";
import type { Exchange } from "./exchange.ts";
import { sendEvents } from "./sse.ts";
import { modelOf } from "./v2.ts";

/** Streams an answer whose client may come back: the work is the stream's, and the connection only reads it. */
export async function startResumable(x: Exchange, model: ModelStream, asked: StreamAsked): Promise<void> {
  const headers = model.headers();
  const call = x.call(asked.parameters);
  const credential = await credentialOf(x);
  const stream = await x.parts.streams.resumable.start(x.requestId, await ownerOf(x), {
    events: (control) => workOf(x, control, call, (own) => model.events(asked, own, credential)),
    failure: (thrown) => reportFailure(x, thrown),
  });
  const texts = new EventTexts(x.requestId, { retry: true });
  const signal = untilClosed(x);
  return sendEvents(x, texts.of(stream.read(0, signal)), {
    headers,
    failure: (error) => texts.interruption(x, error),
    heartbeat: () => texts.heartbeat(),
    signal,
  });
}

/** Aborts when the client is gone, and not before: how the work ends is an event of the stream, with its id. */
function untilClosed({ response }: Exchange): AbortSignal {
  const closed = new AbortController();
  const abort = () => closed.abort(new CapstanError("CANCELLED", "The client closed the connection"));
  response.once("close", abort);
  if (response.destroyed) abort();
  return closed.signal;
}

/**
 * Goes on after the event a client saw last. It is told as an event when that cannot be: a browser shows a page no
 * status, and connects again until it is told to stop, which is what 204 does (HTML standard, server-sent events).
 * @throws CapstanError INVALID_ARGUMENT for an id that is none, NOT_READY while Redis is away.
 */
export async function goOn(x: Exchange, lastEventId: string): Promise<void> {
  const { stream: id, number } = parseEventId(lastEventId);
  if (number === LOST) return stopAsking(x);
  const stream = await findOwn(x, id);
  if (stream?.isOver(number)) return stopAsking(x);
  const texts = new EventTexts(id);
  const events = stream?.read(number, x.call().signal) ?? lost(id);
  return sendEvents(x, greeted(texts.of(events, number)), {
    failure: (error) => texts.interruption(x, error),
  });
}

/** The answer after which an EventSource does not connect again. */
export function stopAsking(x: Exchange): void {
  x.response.writeHead(204, { "x-request-id": x.requestId }).end();
}

async function findOwn(x: Exchange, id: string): Promise<SharedReader | undefined> {
  const stream = await x.parts.streams.resumable.find(id);
  if (stream?.owner.model !== modelOf(x)) return undefined;
  return stream.owner.credential === fingerprint(await credentialOf(x)) ? stream : undefined;
}

function lost(id: string): AsyncIterable<NumberedEvent> {
  const error = new StreamLost(`There is no stream '${id}' to go on with (any more): ask again`);
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
}

/** The head of the answer goes out at once, whenever the next event comes. */
async function* greeted(texts: AsyncIterable<string>): AsyncGenerator<string> {
  yield ": resumed\n\n";
  yield* texts;
}

async function ownerOf(x: Exchange): Promise<StreamOwner> {
  const contents = await ticketOf(x);
  const ticket = queryOf(x).get("ticket");
  return {
    model: modelOf(x),
    credential: fingerprint(await credentialOf(x)),
    ...(contents && ticket !== null && { ticket: usedTicket(ticket, contents) }),
  };
}

/**
 * The work of a stream: it can be cancelled by its request id, and ends at its deadline, or with its key, whether a
 * client is there or not.
 */
async function* workOf(
  x: Exchange,
  { signal, cancel }: StreamControl,
  call: Call,
  events: (call: Call) => AsyncIterable<StreamEvent>,
): AsyncGenerator<StreamEvent> {
  const produced = events({ ...call, signal });
  // A gateway knows it when the server behind is asked; and an address is gone together with the connection.
  const { requestId, owner, principal } = x;
  const { running, access } = x.parts;
  const work = {
    requestId,
    owner,
    cancel: (reason: string) => cancel(new CapstanError("CANCELLED", reason)),
  };
  const timer = atDeadline(call, cancel);
  const release = principal && access?.hold(principal, work.cancel);
  running.add(work);
  try {
    yield* produced;
  } finally {
    running.delete(work);
    release?.();
    clearTimeout(timer);
  }
}

function atDeadline({ deadline }: Call, cancel: (reason: unknown) => void): NodeJS.Timeout | undefined {
  if (deadline === undefined) return undefined;
  const passed = () => cancel(new CapstanError("DEADLINE_EXCEEDED", "The request's deadline passed"));
  return setTimeout(passed, Math.max(0, deadline - Date.now()));
}
