import { CapstanError, invalid } from "../contracts/index.ts";
import { type EventFilter, idAt, type ModelEvent } from "../host/journal.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";
import { sendEvents } from "./sse.ts";

/** What happened to the models: a list, or a stream for those who accept one. */
export const repositoryEventRoutes: Route[] = [
  { method: "GET", path: "/v2/repository/events", guarded: true, handle: events },
];

const EVENT_STREAM = "text/event-stream";
/** What a browser waits before it connects again, in milliseconds. */
const RETRY_MS = 1000;

async function events(x: Exchange): Promise<void> {
  const { journal } = x.parts;
  if (journal === undefined) throw new CapstanError("UNSUPPORTED", "No models come and go here");
  const filter = filterOf(x);
  const isFollowed = x.request.method === "GET" && x.header("accept")?.includes(EVENT_STREAM);
  if (!isFollowed) return sendJson(x, 200, journal.read(filter), { "cache-control": "no-store" });
  return sendEvents(x, textsOf(journal.follow(filter, x.call().signal)), {});
}

/** Events without a name, so that `onmessage` of an EventSource sees all of them. The head goes out at once. */
async function* textsOf(followed: AsyncIterable<ModelEvent>): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`;
  for await (const event of followed) yield `id: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** Who connects again goes on after what it saw, and not where it began. */
function filterOf(x: Exchange): EventFilter {
  const query = new URL(x.request.url!, "http://localhost").searchParams;
  const seen = x.header("last-event-id");
  const since = query.get("since");
  const model = query.get("model") ?? undefined;
  if (seen) return { model, after: idOf("Last-Event-ID", seen) };
  return { model, ...(since && { after: sinceOf(since) }) };
}

function idOf(param: string, text: string): number {
  const id = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(id)) return id;
  throw invalid(`'${param}' must be the id of an event, not '${text}'`, { param });
}

/** An event's id, or a time: events at that very time are later than it. */
function sinceOf(text: string): number {
  if (/^\d+$/.test(text)) return idOf("since", text);
  const time = Date.parse(text);
  if (Number.isFinite(time) && time >= 0) return idAt(time) - 1;
  const example = "2026-01-31T12:00:00Z";
  throw invalid(`'since' must be the id of an event or a time such as ${example}, not '${text}'`, {
    param: "since",
  });
}
