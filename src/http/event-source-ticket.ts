import { CapstanError, invalid } from "../contracts/index.ts";
import { type Credential, readCredential } from "../host/streams/credential.ts";
import { TICKET_SECONDS, type TicketBody, type TicketContents } from "../host/streams/tickets.ts";
import { readBody } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { readGenerate } from "./generate-request.ts";
import { parseObject } from "./json-body.ts";
import { sendJson } from "./send.ts";
import { checkMediaType, HEADER_LENGTH, modelOf } from "./v2.ts";

const KIB = 1024;
/** Bytes of a request that is kept with its ticket. */
const MAX_BODY = 256 * KIB;

/** Makes a ticket out of the caller's credential, and of the request to be streamed if the body has one. */
export async function issueTicket(x: Exchange): Promise<void> {
  const body = await readTicketBody(x);
  const credential = readCredential((name) => x.header(name));
  const contents = { model: modelOf(x), credential, ...(body && { body }) };
  const ticket = await x.parts.streams.tickets.issue(contents);
  return sendJson(x, 200, { ticket, expires_in: TICKET_SECONDS }, { "cache-control": "no-store" });
}

/** What a body lacks is said now, not to the browser that comes with the ticket. */
async function readTicketBody(x: Exchange): Promise<TicketBody | undefined> {
  checkMediaType(x);
  const limit = Math.min(MAX_BODY, x.parts.settings.max_body_bytes);
  const bytes = await readBody(x.request, limit);
  if (bytes.length === 0) return undefined;
  const headerLength = x.header(HEADER_LENGTH);
  const base64 = bytes.toString("base64");
  if (headerLength !== undefined) return { base64, headerLength };
  const fields = parseObject(bytes);
  if (Object.keys(fields).length === 0) return undefined;
  if (fields.inputs === undefined) readGenerate(x, fields);
  return { base64 };
}

const redeemed = new WeakMap<Exchange, Promise<TicketContents | undefined>>();

/**
 * What the ticket in a request's query stands for; undefined without one. A ticket is used up by the first who asks,
 * so everybody who wants to know asks here: once a request, the answer stays.
 * @throws CapstanError UNAUTHENTICATED for a ticket that is not good (any more), PERMISSION_DENIED at another model,
 * NOT_READY while Redis is away.
 */
export function ticketOf(x: Exchange): Promise<TicketContents | undefined> {
  const known = redeemed.get(x) ?? redeem(x);
  redeemed.set(x, known);
  return known;
}

/** Who is calling: by the ticket, else by the headers. */
export async function credentialOf(x: Exchange): Promise<Credential> {
  return (await ticketOf(x))?.credential ?? readCredential((name) => x.header(name));
}

async function redeem(x: Exchange): Promise<TicketContents | undefined> {
  const query = queryOf(x);
  const ticket = query.get("ticket");
  if (ticket === null) return undefined;
  const contents = await x.parts.streams.credentialOf(ticket, lastEventId(x, query));
  if (contents === undefined) {
    throw new CapstanError("UNAUTHENTICATED", "The ticket is unknown, used or expired: ask for a new one", {
      param: "ticket",
    });
  }
  if (contents.model === x.params.model) return contents;
  const message = `The ticket is for model '${contents.model}': ask for one for '${x.params.model}'`;
  throw new CapstanError("PERMISSION_DENIED", message, { param: "ticket" });
}

export function queryOf(x: Exchange): URLSearchParams {
  return new URL(x.request.url!, "http://localhost").searchParams;
}

/**
 * The id of the event a client saw last. A page that goes to another replica cannot send the header, so it may stand
 * in the query; the header, which a browser sets when it connects again to the same address, is newer.
 */
export function lastEventId(x: Exchange, query: URLSearchParams): string | undefined {
  return x.header("last-event-id") || query.get("last_event_id") || undefined;
}

export function refuseTicket(ticket: unknown): void {
  if (ticket === undefined) return;
  throw invalid("A ticket is for GET: send it in the query", { param: "ticket" });
}
