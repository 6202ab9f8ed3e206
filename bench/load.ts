/**
 * The load generator, a process of its own so that its CPU time is not the server's. Its parent sends a
 * {@link LoadJob}; it warms up, says `warm`, waits for `go`, and answers with a {@link LoadResult}. Nothing is
 * under way at `warm` or at the result, so that what the server used between the two belongs to `requests`.
 */
import { once } from "node:events";
import { type LoadClient, openClient } from "./load-client.ts";
import type { Scenario } from "./scenarios.ts";

export interface LoadJob {
  /** `host:port`. */
  readonly address: string;
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

/** Latencies in milliseconds of the requests made in `seconds`, `connections` at a time. */
async function load(client: LoadClient, connections: number, seconds: number): Promise<number[]> {
  const latencies: number[] = [];
  const end = performance.now() + seconds * 1000;
  const connection = async () => {
    for (let start = performance.now(); start < end; ) {
      await client.send();
      const now = performance.now();
      latencies.push(now - start);
      start = now;
    }
  };
  await Promise.all(Array.from({ length: connections }, connection));
  return latencies;
}

async function measure(client: LoadClient, { scenario, seconds }: LoadJob): Promise<LoadResult> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  const latencies = (await load(client, scenario.connections, seconds)).sort((a, b) => a - b);
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
const client = openClient(job.address, job.scenario);
await load(client, job.scenario.connections, job.warmSeconds);
process.send?.("warm");
await once(process, "message");
process.send?.(await measure(client, job));
await client.close();
process.disconnect();
