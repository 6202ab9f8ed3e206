import { performance } from "node:perf_hooks";
import type { Call, Runtime } from "../contracts/index.ts";
import { runCases } from "./cases.ts";
import { LONGEST_RUN_MS, type Placement, placementAfter } from "./isolation/placement.ts";
import { during } from "./load-step.ts";

export interface WarmUp {
  /** Where it says, or elsewhere. */
  load(placement?: Placement): Promise<Runtime>;
  /** Whether the model's settings leave it open where it runs. */
  readonly open: boolean;
  /** Holds the reference cases. */
  readonly folder: string;
  /** Threads that a model may get. */
  readonly parallelWorkers: number;
}

/**
 * Loads a model and runs the reference cases of its folder. Where its settings leave it open, a model that holds the
 * event loop too long in them is loaded on threads instead; see {@link placementAfter}.
 * @throws CapstanError LOAD_FAILED of the load or of a case; nothing is left loaded then.
 */
export async function loadWarm(model: WarmUp, call: Call): Promise<Runtime> {
  await using unfinished = new AsyncDisposableStack();
  const here = unfinished.use(await model.load());
  const runMs = await during("cases", () => steadyRunMs(model.folder, here, call));
  const elsewhere = model.open ? placementAfter(runMs, model.parallelWorkers) : undefined;
  if (elsewhere === undefined) {
    unfinished.move();
    return here;
  }
  call.log.info(
    { placement: elsewhere, runMs },
    "The model holds the event loop too long: it runs on threads",
  );
  await unfinished.disposeAsync();
  return loadElsewhere(model, elsewhere, call);
}

async function loadElsewhere({ load, folder }: WarmUp, placement: Placement, call: Call): Promise<Runtime> {
  await using unfinished = new AsyncDisposableStack();
  const runtime = unfinished.use(await load(placement));
  await during("cases", () => runCases(folder, runtime, call));
  unfinished.move();
  return runtime;
}

const ROUNDS = 3;

/**
 * Milliseconds of the event loop for one case, the least of some rounds: a first run does what is done once, and a
 * model that loads at the same time has the loop, too.
 */
async function steadyRunMs(folder: string, runtime: Runtime, call: Call): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS && least > LONGEST_RUN_MS; round++) {
    const before = performance.eventLoopUtilization();
    const count = await runCases(folder, runtime, call);
    if (count === 0) return 0;
    least = Math.min(least, performance.eventLoopUtilization(before).active / count);
  }
  return least;
}
