import { setTimeout } from "node:timers/promises";
import { treeRssMb } from "../cpu.ts";
import { type Figure, figure } from "../figure.ts";
import type { RunningServer } from "../server-process.ts";
import { type ChatClient, grpcClient, httpClient } from "./client.ts";
import { startFront } from "./servers.ts";

const STREAMS = 2000;
const PACED = { events: 12, gapMs: 1000 };
const WARM = { events: 3, gapMs: 10 };
/** Opened together, so that connecting is not what is measured. */
const AT_ONCE = 50;

/** Many streams at the same time over one transport, at a server that has done nothing else. */
export async function measureCrowd(transport: "SSE" | "gRPC", upstream: string): Promise<Figure[]> {
  const server = await startFront(upstream);
  const { http, grpc } = server.ready;
  const client = transport === "SSE" ? httpClient(http) : grpcClient(grpc!, STREAMS);
  try {
    return await crowd(transport, server, client);
  } finally {
    client.close();
    await server.stop();
  }
}

async function crowd(transport: string, { pid }: RunningServer, client: ChatClient): Promise<Figure[]> {
  await Promise.all(Array.from({ length: 2 * AT_ONCE }, () => client.stream(WARM).done));
  const before = treeRssMb(pid);
  const open = [];
  while (open.length < STREAMS) {
    for (let i = 0; i < AT_ONCE; i++) open.push(client.stream(PACED));
    await setTimeout(40);
  }
  await Promise.allSettled(open.map(({ first }) => first));
  const kilobytes = ((treeRssMb(pid) - before) * 1024) / STREAMS;
  const ends = await Promise.allSettled(open.map(({ done }) => done));
  const whole = ends.filter((end) => end.status === "fulfilled" && end.value === PACED.events);
  const fault = ends.find((end) => end.status === "rejected");
  if (fault !== undefined) console.error(`${transport}: ${String(fault.reason)}`);
  return [
    figure(`${STREAMS} streams over ${transport}, failed`, STREAMS - whole.length, "", ["<=", 0], 0),
    figure(`${STREAMS} streams over ${transport}, memory of each`, kilobytes, "KB", ["<=", 60], 0),
  ];
}
