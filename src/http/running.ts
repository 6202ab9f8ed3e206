import { CapstanError } from "../contracts/index.ts";
import type { Exchange } from "./exchange.ts";
import type { Route } from "./route.ts";
import { sendJson } from "./send.ts";

/** Work under way for one request. */
export interface RunningCall {
  readonly requestId: string;
  /** Address of the caller. Without access control this is what tells one caller from another. */
  readonly address: string;
  cancel(reason: string): void;
}

/** The calls under way in this process. */
export class RunningCalls {
  readonly #calls = new Set<RunningCall>();

  add(call: RunningCall): void {
    this.#calls.add(call);
  }

  delete(call: RunningCall): void {
    this.#calls.delete(call);
  }

  /** Cancels what has this request id and belongs to the caller at `address`; false when there is nothing. */
  cancel(requestId: string, address: string): boolean {
    const own = [...this.#calls].filter((call) => call.requestId === requestId && call.address === address);
    for (const call of own) call.cancel("The caller cancelled the request");
    return own.length > 0;
  }
}

/** Cancelling by the id that every answer carries as `x-request-id`. */
export const cancelRoutes: Route[] = [{ method: "POST", path: "/v2/cancel/:request", handle: cancel }];

/** The calls of others are as unknown as those that never were. */
function cancel(x: Exchange): Promise<void> {
  const id = x.params.request!;
  if (x.parts.running.cancel(id, x.address)) return sendJson(x, 200, { cancelled: true });
  throw new CapstanError("NOT_FOUND", `No request ${JSON.stringify(id)} of yours is under way`);
}
