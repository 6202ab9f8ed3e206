import { setTimeout } from "node:timers/promises";
import { Pool } from "undici";
import { treeRssMb } from "../cpu.ts";
import { type Figure, figure } from "../figure.ts";
import type { ServerProcess } from "../server-process.ts";
import { ADMISSION, HTTP_REQUEST, startSlow, WORK_MS } from "./slow-model.ts";

const { max_concurrency, max_queue } = ADMISSION;
/** Of the last in a full queue, where nothing else is asked of the server. */
const QUEUE_MS = (max_queue / max_concurrency + 1) * WORK_MS;
const TIMES_CAPACITY = 10;
const CAPACITY_SECONDS = 2;
const TICK_MS = 5;
/** Far more than are ever under way: requests must not wait for a connection. */
const CONNECTIONS = 512;
const RECOVERY_LIMIT_MS = 5000;

interface Outcome {
  readonly acceptedMs: number[];
  readonly refusedMs: number[];
  failed: number;
}

/** Ten times what a model can do, for `seconds`: it goes on at full capacity, and says no to the others at once. */
export async function measureOverload(seconds: number): Promise<Figure[]> {
  const server = await startSlow(ADMISSION);
  const pool = new Pool(`http://${server.ready.http}`, { connections: CONNECTIONS, pipelining: 1 });
  try {
    const capacity = await capacityOf(pool);
    const { outcome, growth, peak } = await overload(pool, server, capacity * TIMES_CAPACITY, seconds);
    const recovery = await recoveryMs(pool);
    const { acceptedMs, refusedMs, failed } = outcome;
    return [
      figure("overload, capacity", capacity, "requests/s", undefined, 0),
      figure(
        "overload, asked for",
        (acceptedMs.length + refusedMs.length) / seconds,
        "requests/s",
        undefined,
        0,
      ),
      figure(
        "overload, goodput",
        (acceptedMs.length / seconds / capacity) * 100,
        "% of capacity",
        [">=", 90],
        0,
      ),
      figure("overload, refusal, p50", quantile(refusedMs, 0.5), "ms"),
      figure("overload, refusal, p99", quantile(refusedMs, 0.99), "ms", ["<=", 50]),
      figure("overload, accepted, p99", quantile(acceptedMs, 0.99), "ms", ["<=", 3 * QUEUE_MS], 0),
      figure("overload, neither answered nor refused", failed, "", ["<=", 0], 0),
      figure("overload, peak memory", peak, "MB", undefined, 0),
      figure("overload, memory gained in the second half", growth, "MB", ["<=", 20], 0),
      figure("overload, until a lone request is quick again", recovery, "ms", ["<=", 1000], 0),
    ];
  } finally {
    await pool.destroy();
    await server.stop();
  }
}

async function send(pool: Pool): Promise<number> {
  const { statusCode, body } = await pool.request(HTTP_REQUEST);
  await body.dump();
  return statusCode;
}

/** As many requests at once as the model works on: none waits, none is refused. */
async function capacityOf(pool: Pool): Promise<number> {
  let answered = 0;
  const end = performance.now() + CAPACITY_SECONDS * 1000;
  const worker = async () => {
    for (; performance.now() < end; answered += 1) await send(pool);
  };
  await Promise.all(Array.from({ length: max_concurrency }, worker));
  return answered / CAPACITY_SECONDS;
}

/** Requests are sent at their time, however many are under way. */
async function overload(pool: Pool, { pid }: ServerProcess, rate: number, seconds: number) {
  const outcome: Outcome = { acceptedMs: [], refusedMs: [], failed: 0 };
  const memory: number[] = [];
  const underWay = new Set<Promise<void>>();
  const start = performance.now();
  let sent = 0;
  for (let now = start; now - start < seconds * 1000; now = performance.now()) {
    for (; sent < ((now - start) / 1000) * rate; sent += 1) {
      const work = timed(pool, outcome).finally(() => underWay.delete(work));
      underWay.add(work);
    }
    if (memory.length < (now - start) / 500) memory.push(treeRssMb(pid));
    await setTimeout(TICK_MS);
  }
  await Promise.all(underWay);
  const half = memory[Math.floor(memory.length / 2)] ?? Number.NaN;
  return { outcome, peak: Math.max(...memory), growth: treeRssMb(pid) - half };
}

async function timed(pool: Pool, outcome: Outcome): Promise<void> {
  const start = performance.now();
  const status = await send(pool).catch(() => 0);
  const ms = performance.now() - start;
  if (status === 200) outcome.acceptedMs.push(ms);
  else if (status === 429) outcome.refusedMs.push(ms);
  else outcome.failed += 1;
}

/** Until a request takes no more than twice the model's time. */
async function recoveryMs(pool: Pool): Promise<number> {
  const start = performance.now();
  while (performance.now() - start < RECOVERY_LIMIT_MS) {
    const sent = performance.now();
    if ((await send(pool)) === 200 && performance.now() - sent <= 2 * WORK_MS) break;
  }
  return performance.now() - start;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}
