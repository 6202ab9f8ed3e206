import type { ModelSettings } from "../../settings/model.ts";
import type { IsolateKind } from "./isolate.ts";

type Extra = Pick<ModelSettings["parameters"]["extra"], "isolation" | "workers">;

/** Where a model runs: with the server, or in this many threads or processes. */
export type Placement =
  | { readonly kind: "here" /** Nobody has said so: the warm-up decides. */; readonly open: boolean }
  | { readonly kind: IsolateKind; readonly count: number };

/**
 * `isolation` first, then `workers`, then what the plugin declares. `parallel_workers: 0` (settings.json, as in
 * MLServer) takes no thread at all, and leaves `isolation: "process"` alone.
 */
export function placementOf(
  { isolation, workers }: Extra,
  parallelWorkers: number,
  declared?: "thread",
): Placement {
  const count = Math.max(1, workers ?? 1);
  if (isolation === "process") return { kind: "process", count };
  const wanted = isolation === "thread" || (isolation === undefined && (workers ?? (declared ? 1 : 0)) > 0);
  if (isolation === "none" || parallelWorkers === 0) return { kind: "here", open: false };
  if (wanted) return { kind: "thread", count };
  return { kind: "here", open: isolation === undefined && workers === undefined };
}

/** Milliseconds of the event loop one run may take: in that time the server answers nobody else. */
export const LONGEST_RUN_MS = 10;

/**
 * The rule for models that say nothing: one whose reference cases (`cases.json`) held the event loop for more than
 * 10 ms each goes to `parallel_workers` threads. A hop to a thread costs about 0.1 ms, so that small models stay.
 */
export function placementAfter(runMs: number, parallelWorkers: number): Placement | undefined {
  return runMs > LONGEST_RUN_MS && parallelWorkers > 0
    ? { kind: "thread", count: parallelWorkers }
    : undefined;
}
