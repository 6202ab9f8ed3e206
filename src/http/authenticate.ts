import type { Principal } from "../contracts/index.ts";
import { type Access, credentialOf } from "../host/access.ts";
import { ticketOf } from "./event-source-ticket.ts";
import type { Exchange } from "./exchange.ts";

/** The route that a registry calls, and the header that stands for its key. */
export const NOTIFY = "/v2/repository/notify";
export const SIGNATURE = "x-capstan-signature";

const STREAM = /\/models\/:model(\/versions\/:version)?\/stream$/;

/**
 * Finds out whose a request is; nothing is to be waited for where that is known. A browser's EventSource cannot send
 * headers: a ticket stands for the key it was made with. A registry's signature is for its route to check.
 * @throws CapstanError UNAUTHENTICATED where the route is not open.
 */
export function authenticate(x: Exchange, access: Access): Promise<void> | undefined {
  if (x.route === NOTIFY ? isSigned(x) : access.isOpen(x.route)) return undefined;
  if (x.request.method === "GET" && STREAM.test(x.route)) return authenticateStream(x, access);
  const principal = access.authenticate(credentialOf((name) => x.header(name)));
  if (principal instanceof Promise) return wait(x, principal);
  x.principal = principal;
  return undefined;
}

const isSigned = (x: Exchange) =>
  x.parts.settings.notify_secret !== null && x.header(SIGNATURE) !== undefined;

async function wait(x: Exchange, principal: Promise<Principal>): Promise<void> {
  x.principal = await principal;
}

async function authenticateStream(x: Exchange, access: Access): Promise<void> {
  const credential = (await ticketOf(x))?.credential as Readonly<Record<string, string>> | undefined;
  const header = (name: string) => (credential === undefined ? x.header(name) : credential[name]);
  x.principal = await access.authenticate(credentialOf(header));
}
