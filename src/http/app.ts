import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { type Context, Hono } from "hono";
import { CapstanError } from "../contracts/index.ts";
import { checkLocalCaller } from "../host/local-caller.ts";
import { Exchange } from "./exchange.ts";
import type { HttpParts } from "./parts.ts";
import type { Route } from "./route.ts";
import { sendError } from "./send.ts";

type Env = { Bindings: HttpBindings };

/** The label of requests that match no route: paths of callers never become series. */
const UNMATCHED = "unmatched";

/**
 * Routes to handlers that write to Node's response themselves: measured, that costs a third less than a
 * Response object for each answer, and a stream needs it anyway.
 */
export function createApp(routes: readonly Route[], parts: HttpParts): Hono<Env> {
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

async function answer(
  context: Context<Env>,
  route: Route,
  parts: HttpParts,
  headers?: Record<string, string>,
) {
  const { incoming, outgoing } = context.env;
  const exchange = new Exchange(incoming, outgoing, route.path, context.req.param(), parts);
  observe(exchange);
  for (const name in headers) outgoing.setHeader(name, headers[name]!);
  try {
    if (route.guarded) checkLocalCaller(exchange);
    await route.handle(exchange);
  } catch (error) {
    await sendError(exchange, error);
  }
  return RESPONSE_ALREADY_SENT;
}

function observe(exchange: Exchange): void {
  const { metrics } = exchange.parts;
  const { request, response, route } = exchange;
  const method = request.method!;
  metrics.restStarted(method, route);
  response.once("close", () => {
    exchange.close();
    const seconds = (performance.now() - exchange.started) / 1000;
    metrics.restFinished(method, route, response.statusCode, seconds);
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
