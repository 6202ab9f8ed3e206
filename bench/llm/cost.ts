import { treeCpuMs } from "../cpu.ts";
import { type Figure, figure } from "../figure.ts";
import { summarise } from "../report.ts";
import type { RunningServer } from "../server-process.ts";
import { type HttpChatClient, httpClient } from "./client.ts";
import type { Script } from "./script.ts";

export interface Servers {
  readonly upstream: RunningServer;
  readonly passThrough: RunningServer;
  readonly capstan: RunningServer;
}

const WHOLE = { events: 1, gapMs: 0 };
/** Of many tokens, for a server that asks its upstream for a stream all the same. */
const LONG = { events: 100, gapMs: 0 };
const CONNECTIONS = 16;
const STREAMS = 50;
/** Slow enough that each event is a packet of its own, as the tokens of a model are. */
const PACED = { events: 100, gapMs: 10 };
const ONE_EVENT = { events: 1, gapMs: 0 };

/** What one answer, and one event, costs in front of an upstream, against a proxy that only copies bytes. */
export async function measureCosts(servers: Servers, rounds: number, seconds: number): Promise<Figure[]> {
  const json = await inTurns(servers, rounds, (server, client) => jsonCpu(server, client, WHOLE, seconds));
  const long = await inTurns(servers, rounds, (server, client) => jsonCpu(server, client, LONG, seconds));
  const event = await inTurns(servers, rounds, streamCpu);
  return [
    ...compared("JSON answer", json, 1, "ms"),
    ...compared("JSON answer of 100 tokens", long, 1, "ms"),
    ...compared("streamed event", event, 1000, "us"),
    ...(await addedToFirstToken(servers)),
  ];
}

interface Pair {
  readonly floor: number[];
  readonly capstan: number[];
}

function compared(name: string, { floor, capstan }: Pair, scale: number, unit: string): Figure[] {
  const [least, ours] = [summarise(floor).min, summarise(capstan).min];
  const paired = summarise(capstan.map((value, round) => value / floor[round]!)).median;
  return [
    figure(`${name}, pass-through CPU`, least * scale, unit, undefined, 3),
    figure(`${name}, Capstan CPU`, ours * scale, unit, undefined, 3),
    figure(`${name}, x pass-through (minima)`, ours / least, "", ["<=", 2]),
    figure(`${name}, x pass-through (median of pairs)`, paired, ""),
  ];
}

/** In the opposite order every other round, so that what else the machine does falls on both. */
async function inTurns(
  { passThrough, capstan }: Servers,
  rounds: number,
  measure: (server: RunningServer, client: HttpChatClient) => Promise<number>,
): Promise<Pair> {
  const sides = [
    { server: passThrough, values: [] as number[] },
    { server: capstan, values: [] as number[] },
  ];
  for (let round = 0; round <= rounds; round++) {
    for (const { server, values } of round % 2 === 0 ? sides : sides.toReversed()) {
      const client = httpClient(server.ready.http);
      const value = await measure(server, client);
      client.close();
      // The first round warms up.
      if (round > 0) values.push(value);
    }
  }
  return { floor: sides[0]!.values, capstan: sides[1]!.values };
}

async function jsonCpu(
  { pid }: RunningServer,
  client: HttpChatClient,
  script: Script,
  seconds: number,
): Promise<number> {
  let answers = 0;
  const end = performance.now() + seconds * 1000;
  const before = treeCpuMs(pid);
  const connection = async () => {
    for (; performance.now() < end; answers += 1) await client.whole(script).done;
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  return (treeCpuMs(pid) - before) / answers;
}

async function streamCpu({ pid }: RunningServer, client: HttpChatClient): Promise<number> {
  const before = treeCpuMs(pid);
  const streams = Array.from({ length: STREAMS }, () => client.stream(PACED).done);
  const events = (await Promise.all(streams)).reduce((sum, count) => sum + count, 0);
  return (treeCpuMs(pid) - before) / events;
}

const FIRST_TOKENS = 200;

/** One client, one request at a time, by turns at the upstream itself and at what stands in front of it. */
async function addedToFirstToken({ upstream, passThrough, capstan }: Servers): Promise<Figure[]> {
  const sides = [upstream, passThrough, capstan].map(({ ready }) => ({
    client: httpClient(ready.http),
    times: [] as number[],
  }));
  for (let request = 0; request < FIRST_TOKENS; request++) {
    for (const { client, times } of sides) {
      const stream = client.stream(ONE_EVENT);
      times.push(await stream.first);
      await stream.done;
    }
  }
  for (const { client } of sides) client.close();
  const [direct, proxied, ours] = sides.map(({ times }) => summarise(times.slice(FIRST_TOKENS / 4)).median);
  return [
    figure("first token, added by the pass-through (median)", proxied! - direct!, "ms"),
    figure("first token, added by Capstan (median)", ours! - direct!, "ms", ["<=", 1]),
  ];
}
