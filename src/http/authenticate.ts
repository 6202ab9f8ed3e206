import { type Access, credentialOf } from "../host/access.ts";
import { ticketOf } from "./event-source-ticket.ts";
import type { Exchange } from "./exchange.ts";

const STREAM = /\/models\/:model(\/versions\/:version)?\/stream$/;

/**
 * Finds out whose a request is. A browser's EventSource cannot send headers: a ticket stands for the key it was made
 * with.
 * @throws CapstanError UNAUTHENTICATED where the route is not open.
 */
export async function authenticate(x: Exchange, access: Access): Promise<void> {
  if (access.isOpen(x.route)) return;
  const ticket = x.request.method === "GET" && STREAM.test(x.route) ? await ticketOf(x) : undefined;
  const header = (name: string) =>
    ticket === undefined ? x.header(name) : (ticket.credential as Readonly<Record<string, string>>)[name];
  x.principal = await access.authenticate(credentialOf(header));
}
