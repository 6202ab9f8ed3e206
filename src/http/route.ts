import type { Exchange } from "./exchange.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** One line of a route group's table. */
export interface Route {
  readonly method: Method;
  /** Hono's pattern. Also the label of the route in metrics. */
  readonly path: string;
  /** Changes what is served: only for callers that {@link checkAdministrator} accepts. */
  readonly guarded?: boolean;
  /** Asked for so often that it is found before the router is asked: see hot-routes.ts. */
  readonly hot?: boolean;
  /** A probe: asked for every few seconds by programs, and in nobody's trace. */
  readonly untraced?: boolean;
  handle(exchange: Exchange): Promise<void> | void;
}

/** A path with and without its version part, handled alike (V2 REST, "versions" are optional). */
export function versioned(route: Route): Route[] {
  const withVersion = route.path.replace("/models/:model", "/models/:model/versions/:version");
  return [route, { ...route, path: withVersion }];
}
