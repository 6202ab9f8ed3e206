import { CapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";

/** Cancelling by the id that every answer carries as `x-request-id`. */
export const cancelRoutes: Route[] = [{ method: "POST", path: "/v2/cancel/:request", handle: cancel }];

/** The calls of others are as unknown as those that never were. */
async function cancel(x: Exchange): Promise<void> {
  const id = x.params.request!;
  if (await x.parts.running.cancel(id, x.owner)) return sendJson(x, 200, { cancelled: true });
  throw new CapstanError("NOT_FOUND", `No request ${JSON.stringify(id)} of yours is under way`);
}
