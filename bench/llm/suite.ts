import type { Figure } from "../figure.ts";
import type { RunningServer } from "../server-process.ts";
import { measureCosts, type Servers } from "./cost.ts";
import { measureCrowd } from "./crowd.ts";
import { measureLeaving } from "./leaving.ts";
import { measureLlama } from "./llama.ts";
import { startFront, startPassThrough, startUpstream } from "./servers.ts";

/** Beyond these the suite takes more than two minutes. */
const MOST_ROUNDS = 5;
const MOST_SECONDS = 1.5;

/**
 * A language model behind another server: what Capstan adds, how many streams it holds, and that it lets go; and one
 * in this process.
 */
export async function runLlmSuite(
  options: { rounds: number; seconds: number },
  report: (figure: Figure) => void,
): Promise<void> {
  const rounds = Math.min(options.rounds, MOST_ROUNDS);
  const seconds = Math.min(options.seconds, MOST_SECONDS);
  await measureUpstream(rounds, seconds, report);
  for (const each of await measureLlama(rounds)) report(each);
}

async function measureUpstream(
  rounds: number,
  seconds: number,
  report: (figure: Figure) => void,
): Promise<void> {
  await using running = new AsyncDisposableStack();
  const start = async (starting: Promise<RunningServer>) => {
    const server = await starting;
    running.defer(async () => void (await server.stop()));
    return server;
  };
  const upstream = await start(startUpstream());
  const servers: Servers = {
    upstream,
    passThrough: await start(startPassThrough(upstream.ready.http)),
    capstan: await start(startFront(upstream.ready.http)),
  };
  for (const each of await measureCosts(servers, rounds, seconds)) report(each);
  for (const each of await measureLeaving(servers)) report(each);
  for (const transport of ["SSE", "gRPC"] as const) {
    for (const each of await measureCrowd(transport, upstream.ready.http)) report(each);
  }
}
