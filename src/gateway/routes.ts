import { CapstanError } from "../contracts/index.ts";
import { type Credential, fingerprint, readCredential } from "../host/streams/credential.ts";
import { cancelRoutes } from "../http/cancel.ts";
import { eventSourceRoutes } from "../http/event-source.ts";
import { eventsOfResponses } from "../http/event-source-events.ts";
import type { ModelStream } from "../http/event-source-model.ts";
import type { Exchange } from "../http/exchange.ts";
import { metricsRoutes } from "../http/health.ts";
import type { Route } from "../http/route.ts";
import { sendJson } from "../http/send.ts";
import { modelOf } from "../http/v2.ts";
import { requestMessage } from "./messages.ts";
import { metadataOf } from "./metadata.ts";
import type { Upstream } from "./upstream.ts";

/**
 * Streams for browsers, answered by the server behind; and whether that is there.
 * @param closing aborts when the gateway is told to stop.
 */
export function gatewayRoutes(upstream: Upstream, metrics: string | null, closing: AbortSignal): Route[] {
  return [
    ...eventSourceRoutes((x) => upstreamModel(x, upstream)),
    ...cancelRoutes.map((route) => ({
      ...route,
      handle: (x: Exchange) => route.handle(calledBy(x, headersOf(x))),
    })),
    {
      method: "GET",
      path: "/v2/health/live",
      untraced: true,
      handle: (x) => sendJson(x, 200, { live: true }),
    },
    { method: "GET", path: "/v2/health/ready", untraced: true, handle: (x) => ready(x, upstream, closing) },
    ...metricsRoutes(metrics),
  ];
}

/** Which models there are, and who may use them, the server behind knows. */
function upstreamModel(x: Exchange, upstream: Upstream): ModelStream {
  const name = { model: modelOf(x), version: x.params.version };
  return {
    headers: () => () => ({}),
    events(asked, call, credential) {
      calledBy(x, credential);
      const metadata = metadataOf({ requestId: x.requestId, credential, header: (name) => x.header(name) });
      return eventsOfResponses(upstream.stream(requestMessage(asked, name), metadata, call));
    },
  };
}

/** The gateway knows callers by what the server behind knows them by: only who sent that may cancel its work. */
function calledBy(x: Exchange, credential: Credential): Exchange {
  x.caller = Object.keys(credential).length === 0 ? undefined : fingerprint(credential);
  return x;
}

const headersOf = (x: Exchange): Credential => readCredential((name) => x.header(name));

async function ready(x: Exchange, upstream: Upstream, closing: AbortSignal): Promise<void> {
  if (closing.aborted) throw new CapstanError("NOT_READY", "The gateway is stopping");
  if (await upstream.ready()) return sendJson(x, 200, { ready: true });
  throw new CapstanError("NOT_READY", `The server at ${upstream.where} is not ready`);
}
