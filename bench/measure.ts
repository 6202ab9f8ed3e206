import { fork } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { type Machine, machineBetween, sampleMachine, treeCpuMs, treeRssMb } from "./cpu.ts";
import type { LoadJob, LoadResult } from "./load.ts";
import { type Command, startServer } from "./server-process.ts";

export interface LoadSample {
  readonly cpuMsPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly machine: Machine;
}

/** One server under one load, once. `pid` is the root of the server's process tree. */
export async function measureLoad(pid: number, job: LoadJob): Promise<LoadSample> {
  const child = fork(path.join(import.meta.dirname, "load.ts"));
  const failed = once(child, "exit").then(([code]) => {
    throw new Error(`The load generator ended with ${code}`);
  });
  failed.catch(() => undefined);
  const next = () => Promise.race([once(child, "message"), failed]);
  child.send(job);
  await next();
  const machine = sampleMachine();
  const before = treeCpuMs(pid);
  child.send("go");
  const [result] = (await next()) as [LoadResult];
  const cpuMs = treeCpuMs(pid) - before;
  return {
    cpuMsPerRequest: cpuMs / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    machine: machineBetween(machine, sampleMachine(), cpuMs + result.ownCpuMs),
  };
}

export interface StartSample {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly rssMb: number;
  readonly machine: Machine;
}

/** From the start of the process to its ready line. */
export async function measureStart(command: Command): Promise<StartSample> {
  const machine = sampleMachine();
  const start = performance.now();
  const server = await startServer(command);
  const wallSeconds = (performance.now() - start) / 1000;
  const cpuMs = treeCpuMs(server.pid);
  const sample = {
    cpuSeconds: cpuMs / 1000,
    wallSeconds,
    rssMb: treeRssMb(server.pid),
    machine: machineBetween(machine, sampleMachine(), cpuMs),
  };
  await server.stop();
  return sample;
}
