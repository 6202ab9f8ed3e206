/**
 * The load generator, a process of its own so that its CPU time is not the server's. Its parent sends a
 * {@link LoadJob}; it warms up, says `warm`, waits for `go`, and answers with a {@link LoadResult}. Nothing is
 * under way at `warm` or at the result, so that what the server used between the two belongs to `requests`.
 */
import { once } from "node:events";
import { Pool } from "undici";
import { encodeBody, type HttpBody } from "./body.ts";
import type { Scenario } from "./scenarios.ts";

export interface LoadJob {
  readonly url: string;
  readonly scenario: Scenario;
  readonly warmSeconds: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the load generator in the measured time. */
  readonly ownCpuMs: number;
}

async function send(pool: Pool, path: string, { headers, bytes }: HttpBody): Promise<void> {
  const { statusCode, body } = await pool.request({ method: "POST", path, headers, body: bytes });
  if (statusCode !== 200) throw new Error(`POST ${path} answered ${statusCode}: ${await body.text()}`);
  await body.dump();
}

/** Latencies in milliseconds of the requests made in `seconds`. */
async function load(pool: Pool, job: LoadJob, body: HttpBody, seconds: number): Promise<number[]> {
  const path = new URL(job.url).pathname;
  const latencies: number[] = [];
  const end = performance.now() + seconds * 1000;
  const connection = async () => {
    for (let start = performance.now(); start < end; ) {
      await send(pool, path, body);
      const now = performance.now();
      latencies.push(now - start);
      start = now;
    }
  };
  await Promise.all(Array.from({ length: job.scenario.connections }, connection));
  return latencies;
}

async function measure(pool: Pool, job: LoadJob, body: HttpBody): Promise<LoadResult> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const latencies = (await load(pool, job, body, job.seconds)).sort((a, b) => a - b);
  const own = process.cpuUsage(cpu);
  return {
    requests: latencies.length,
    seconds: (performance.now() - start) / 1000,
    p50Ms: latencies[Math.floor(latencies.length * 0.5)] ?? 0,
    p99Ms: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    ownCpuMs: (own.user + own.system) / 1000,
  };
}

const [job] = (await once(process, "message")) as [LoadJob];
const pool = new Pool(new URL(job.url).origin, { connections: job.scenario.connections, pipelining: 1 });
const body = encodeBody(job.scenario);
await load(pool, job, body, job.warmSeconds);
process.send?.("warm");
await once(process, "message");
process.send?.(await measure(pool, job, body));
await pool.close();
process.disconnect();
