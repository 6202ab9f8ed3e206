import type { IncomingMessage, ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { CapstanError } from "../contracts/index.ts";
import { checkAdministrator } from "../host/access.ts";
import { authenticate } from "./authenticate.ts";
import { Exchange } from "./exchange.ts";
import { hotRoutes } from "./hot-routes.ts";
import type { HttpParts } from "./parts.ts";
import type { Route } from "./route.ts";
import { sendError } from "./send.ts";
import { traceExchange } from "./trace.ts";

type Env = { Bindings: HttpBindings };
type Headers = Readonly<Record<string, string>>;

/** The label of requests that match no route: paths of callers never become series. */
const UNMATCHED = "unmatched";

export interface App {
  readonly router: Hono<Env>;
  /** Answers a hot route without the router; false when the request is for another one. */
  direct(request: IncomingMessage, response: ServerResponse): boolean;
}

/**
 * Routes to handlers that write to Node's response themselves: measured, that costs a third less than a
 * Response object for each answer, and a stream needs it anyway.
 */
export function createApp(routes: readonly Route[], parts: HttpParts): App {
  const hot = hotRoutes(routes, parts.settings.root_path);
  return {
    router: createRouter(routes, parts),
    direct(request, response) {
      const match = hot(request);
      if (match === undefined) return false;
      void answerTo(request, response, match.route, match.params, parts);
      return true;
    },
  };
}

function createRouter(routes: readonly Route[], parts: HttpParts): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  const prefix = parts.settings.root_path;
  for (const route of routes) {
    app.on(route.method, prefix + route.path, (context) => answer(context, route, parts));
  }
  const refusals = createRefusals(routes, parts);
  app.notFound((context) => refusals.fetch(context.req.raw, context.env));
  return app;
}

/** Answers what no route takes. Apart from the routes: a second handler on a path would slow down each of them. */
function createRefusals(routes: readonly Route[], parts: HttpParts): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  for (const [path, methods] of methodsByPath(routes)) {
    const refusal: Route = { method: "GET", path, handle: () => refuseMethod(path, methods) };
    const headers = { allow: methods.join(", ") };
    app.all(parts.settings.root_path + path, (context) => answer(context, refusal, parts, headers));
  }
  const missing: Route = { method: "GET", path: UNMATCHED, handle: refusePath };
  app.notFound((context) => answer(context, missing, parts));
  return app;
}

async function answer(context: Context<Env>, route: Route, parts: HttpParts, headers?: Headers) {
  const { incoming, outgoing } = context.env;
  await answerTo(incoming, outgoing, route, context.req.param(), parts, headers);
  return RESPONSE_ALREADY_SENT;
}

/** Runs a route's handler. Whatever it throws is answered; nothing escapes. */
async function answerTo(
  request: IncomingMessage,
  response: ServerResponse,
  route: Route,
  params: Readonly<Record<string, string>>,
  parts: HttpParts,
  headers?: Headers,
): Promise<void> {
  const exchange = new Exchange(request, response, route.path, params, parts);
  observe(exchange);
  if (parts.tracing !== undefined && !route.untraced) traceExchange(exchange, parts.tracing);
  for (const name in headers) response.setHeader(name, headers[name]!);
  try {
    const asking = parts.access && authenticate(exchange, parts.access);
    if (asking !== undefined) await asking;
    if (route.guarded) checkAdministrator(parts.access, exchange);
    else if (params.model !== undefined) parts.access?.checkModel(exchange.principal, params.model);
    await route.handle(exchange);
  } catch (error) {
    await sendError(exchange, error);
  }
}

function observe(exchange: Exchange): void {
  const { request, response, route, parts } = exchange;
  const series = parts.metrics.http(request.method!, route);
  series.inProgress += 1;
  response.once("close", () => {
    exchange.close();
    series.finished(response.statusCode, (performance.now() - exchange.started) / 1000);
  });
}

function methodsByPath(routes: readonly Route[]): Map<string, string[]> {
  const methods = new Map<string, string[]>();
  for (const { path, method } of routes) {
    methods.set(path, [...(methods.get(path) ?? []), ...(method === "GET" ? ["GET", "HEAD"] : [method])]);
  }
  return methods;
}

function refuseMethod(path: string, methods: readonly string[]): never {
  throw new CapstanError("METHOD_NOT_ALLOWED", `${path} takes ${methods.join(", ")}`);
}

function refusePath(exchange: Exchange): never {
  const path = exchange.request.url?.split("?", 1)[0];
  throw new CapstanError("NOT_FOUND", `There is no route ${exchange.request.method} ${path}`);
}
