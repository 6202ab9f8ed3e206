import { setTimeout } from "node:timers/promises";
import { type Figure, figure } from "../figure.ts";
import { summarise } from "../report.ts";
import { grpcClient, httpClient, type OpenStream } from "./client.ts";
import type { Servers } from "./cost.ts";
import { NEVER_MS } from "./script.ts";

const CLIENTS = 20;
/** Until a whole answer is surely with the upstream; a stream is when its first event has come. */
const UNDER_WAY_MS = 50;
const GIVE_UP_MS = 5000;
const ENDLESS = { events: 1_000_000, gapMs: 20 };
const SILENT = { events: 2, gapMs: NEVER_MS };

/** How long after its client an upstream hears that nobody waits. */
export async function measureLeaving({ upstream, capstan }: Servers): Promise<Figure[]> {
  const http = httpClient(capstan.ready.http);
  const grpc = grpcClient(capstan.ready.grpc!, 1);
  const begun = async (stream: OpenStream) => {
    await stream.first;
    return stream;
  };
  const whole = async () => {
    const answer = http.whole(SILENT);
    answer.done.catch(() => {});
    await setTimeout(UNDER_WAY_MS);
    return answer;
  };
  const kinds = {
    "whole answer": whole,
    "SSE stream": () => begun(http.stream(ENDLESS)),
    "gRPC stream": () => begun(grpc.stream(ENDLESS)),
  };
  const figures: Figure[] = [];
  for (const [name, open] of Object.entries(kinds)) {
    const times: number[] = [];
    for (let client = 0; client < CLIENTS; client++) times.push(await timeToLeave(open, upstream.ready.http));
    figures.push(figure(`upstream left after its client, ${name} (median)`, summarise(times).median, "ms"));
    figures.push(
      figure(`upstream left after its client, ${name} (longest)`, Math.max(...times), "ms", ["<=", 100]),
    );
  }
  http.close();
  grpc.close();
  return figures;
}

async function timeToLeave(open: () => Promise<{ leave(): void }>, upstream: string): Promise<number> {
  const client = await open();
  const known = (await leftAt(upstream)).length;
  const start = performance.timeOrigin + performance.now();
  client.leave();
  while (performance.timeOrigin + performance.now() - start < GIVE_UP_MS) {
    const left = (await leftAt(upstream))[known];
    if (left !== undefined) return left - start;
    await setTimeout(5);
  }
  return GIVE_UP_MS;
}

async function leftAt(upstream: string): Promise<number[]> {
  return (await fetch(`http://${upstream}/left`)).json() as Promise<number[]>;
}
