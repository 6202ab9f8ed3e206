/**
 * Requests at a steady pace through a data plane that does nothing, with and without the inference log around it: a process of
 * its own, whose CPU time is that of the log. Its arguments: the database's url, requests per second, seconds, rounds. It prints one
 * JSON line for each round.
 */
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { openCall } from "../../src/host/call.ts";
import { PlaneLayer } from "../../src/host/plane-layer.ts";
import type { DataPlane } from "../../src/host/types.ts";
import { LogPlane } from "../../src/records/inference-log/plane.ts";
import { Spool } from "../../src/records/inference-log/spool.ts";
import { LogWriter } from "../../src/records/inference-log/writer.ts";
import { openStore } from "../../src/store/database.ts";

export interface LogRound {
  /** Microseconds of CPU for each request, of the whole process. */
  readonly without: number;
  readonly with: number;
  /** Of that: when rows are written back to back, and nothing waits. */
  readonly atOnce: number;
}

const [url = "", perSecond = "1000", seconds = "5", rounds = "5"] = process.argv.slice(2);
const TICK_MS = 10;
/** Times 10,000 requests: a server that has run for some minutes is compiled. */
const WARM_UPS = 15;
const folder = process.cwd();
const silent = {
  debug() {},
  info() {},
  warn() {},
  error: (_: object, message: string) => console.error(message),
};
const RESPONSE = { model: "iris", version: "1", outputs: [], parameters: {} };

/** What the innermost plane leaves behind. */
class Nothing extends PlaneLayer {
  override async infer(...[, , , call]: Parameters<DataPlane["infer"]>) {
    call.record!.model = "iris";
    call.record!.version = "1";
    call.record!.inputTokens = 12;
    call.record!.outputTokens = 34;
    return RESPONSE as never;
  }
}

const nothing = new Nothing(undefined as never);
const request = { inputs: [], parameters: { session_id: "a-session" } } as never;
let ids = 0;

async function ask(plane: DataPlane): Promise<void> {
  const call = openCall({
    requestId: `request-${ids++}`,
    log: silent,
    principal: { id: "0123456789ab", role: "r", admin: false },
  });
  await plane.infer("iris", undefined, request, call);
  call.end();
}

/** CPU of the process for each of the requests, in microseconds; `finish` is part of it. */
async function measure(work: () => Promise<number>): Promise<number> {
  const before = process.cpuUsage();
  const requests = await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / requests;
}

async function paced(plane: DataPlane): Promise<number> {
  const started = performance.now();
  let sent = 0;
  for (; performance.now() - started < Number(seconds) * 1000; await setTimeout(TICK_MS)) {
    const due = ((performance.now() - started) / 1000) * Number(perSecond);
    for (; sent < due; sent++) await ask(plane);
  }
  return sent;
}

async function logged(
  work: (plane: DataPlane, rest: () => Promise<void>) => Promise<number>,
): Promise<number> {
  const writer = new LogWriter(store, new Spool(join(folder, "spool")), 86_400_000, silent);
  return measure(async () => {
    const requests = await work(new LogPlane(nothing, writer, false), () => writer.flush());
    await writer[Symbol.asyncDispose]();
    if (writer.written !== requests) throw new Error(`${writer.written} of ${requests} rows were written`);
    return requests;
  });
}

/** @param rest is waited for now and then. */
async function atOnce(plane: DataPlane, rest: () => Promise<void>): Promise<number> {
  const requests = 20 * 500;
  for (let sent = 0; sent < requests; sent++) {
    await ask(plane);
    if (sent % 500 === 0) await rest();
  }
  return requests;
}

const pause = () => setTimeout(1);

await using store = await openStore(url, folder);
await store.migrate();
for (let time = 0; time < WARM_UPS; time++) {
  await atOnce(nothing, pause);
  await logged(atOnce);
}
for (let round = 0; round < Number(rounds); round++) {
  const without = await measure(() => paced(nothing));
  const withLog = await logged(paced);
  const back = (await logged(atOnce)) - (await measure(() => atOnce(nothing, pause)));
  console.log(JSON.stringify({ without, with: withLog, atOnce: back } satisfies LogRound));
}
