import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { Pool } from "undici";
import { encodeBody } from "./body.ts";
import { ROOT } from "./capstan.ts";
import { treeCpuMs } from "./cpu.ts";
import { type Figure, figure } from "./figure.ts";
import { chatBody } from "./llm/script.ts";
import { startPassThrough, startUpstream } from "./llm/servers.ts";
import { summarise } from "./report.ts";
import type { RunningServer } from "./server-process.ts";
import { startWithModels } from "./with-models.ts";

const run = promisify(execFile);

const CONNECTIONS = 16;
const MOST_ROUNDS = 5;
const MOST_SECONDS = 1.5;
/** Each limit is on, and none is reached. */
const PLENTY = "1000000000";
const LIMITS = ["--rpm", "--tpm", "--concurrency", "--requests-per-month", "--tokens-per-month"];

const JSON_TYPE = { "content-type": "application/json" };
const chat = (stream: boolean) =>
  Buffer.from(JSON.stringify({ ...chatBody({ events: stream ? 100 : 1, gapMs: 0 }, stream), model: "chat" }));

const ROUTES = [
  {
    name: "one row of the forest",
    path: "/v2/models/iris/infer",
    body: encodeBody({
      ...{ name: "", model: "iris", rows: 1, columns: 4, encoding: "json", connections: CONNECTIONS },
    }).bytes,
    proxied: false,
  },
  { name: "chat, whole answer", path: "/v1/chat/completions", body: chat(false), proxied: true },
  { name: "chat, 100 events streamed", path: "/v1/chat/completions", body: chat(true), proxied: true },
] as const;

interface Side {
  readonly name: "pass-through" | "off" | "on";
  readonly server: RunningServer;
  readonly headers: Readonly<Record<string, string>>;
}

/** What keys, limits, quotas, usage and the inference log together cost for each request. */
export async function runAccessSuite(
  options: { rounds: number; seconds: number; models: string },
  report: (figure: Figure) => void,
): Promise<void> {
  await using running = new AsyncDisposableStack();
  const start = async (starting: Promise<RunningServer>) => {
    const server = await starting;
    running.defer(async () => void (await server.stop()));
    return server;
  };
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  running.defer(() => rm(folder, { recursive: true, force: true }));
  const database_url = `sqlite:${path.join(folder, "capstan.db")}`;
  const upstream = (await start(startUpstream())).ready.http;
  const models = modelsOf(upstream, options.models);
  const everything = { auth: { enabled: true, database_url }, inference_log: { enabled: true } };
  const authorization = `Bearer ${await createKey(database_url)}`;
  const sides: Side[] = [
    { name: "pass-through", server: await start(startPassThrough(upstream)), headers: JSON_TYPE },
    { name: "off", server: await start(startWithModels(models)), headers: JSON_TYPE },
    {
      name: "on",
      server: await start(startWithModels(models, { "settings.json": JSON.stringify(everything) })),
      headers: { ...JSON_TYPE, authorization },
    },
  ];
  for (const route of ROUTES) {
    const costs = await inTurns(sides, route, options);
    for (const each of figuresOf(route, costs)) report(each);
  }
}

function modelsOf(upstream: string, models: string) {
  const extra = { framework: "openai", base_url: `http://${upstream}` };
  return {
    iris: { implementation: "onnx", parameters: { uri: path.resolve(models, "iris/model.onnx") } },
    chat: { implementation: "llm", parameters: { extra } },
  };
}

/** A key whose role has every kind of limit. */
async function createKey(database: string): Promise<string> {
  const capstan = async (...args: string[]) => {
    const all = ["src/cli/main.ts", ...args, "--database", database];
    return (await run(process.execPath, all, { cwd: ROOT })).stdout;
  };
  await capstan("roles", "set", "bench", "--models", "*", ...LIMITS.flatMap((flag) => [flag, PLENTY]));
  const created = await capstan("keys", "create", "--role", "bench", "--name", randomUUID(), "--json");
  return (JSON.parse(created) as { key: string }).key;
}

type Route = (typeof ROUTES)[number];
type Costs = Record<Side["name"], number[]>;

/** In the opposite order every other round, so that what else the machine does falls on all; the first warms up. */
async function inTurns(
  sides: readonly Side[],
  route: Route,
  options: { rounds: number; seconds: number },
): Promise<Costs> {
  const seconds = Math.min(options.seconds, MOST_SECONDS);
  const costs: Costs = { "pass-through": [], off: [], on: [] };
  for (let round = 0; round <= Math.min(options.rounds, MOST_ROUNDS); round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      if (side.name === "pass-through" && !route.proxied) continue;
      const cost = await cpuOf(side, route, seconds);
      if (round > 0) costs[side.name].push(cost);
    }
  }
  return costs;
}

/** Milliseconds of CPU time for each request. */
async function cpuOf({ server, headers }: Side, { path, body }: Route, seconds: number): Promise<number> {
  const pool = new Pool(`http://${server.ready.http}`, { connections: CONNECTIONS });
  const before = treeCpuMs(server.pid);
  const end = performance.now() + seconds * 1000;
  let answers = 0;
  const connection = async () => {
    for (; performance.now() < end; answers++) {
      const answer = await pool.request({ method: "POST", path, headers, body });
      if (answer.statusCode !== 200) throw new Error(`${answer.statusCode}: ${await answer.body.text()}`);
      await answer.body.dump({ limit: Number.MAX_SAFE_INTEGER });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  await pool.close();
  return (treeCpuMs(server.pid) - before) / answers;
}

function figuresOf({ name }: Route, costs: Costs): Figure[] {
  const least = (side: Side["name"]) => summarise(costs[side]).min;
  const [floor, off, on] = [least("pass-through"), least("off"), least("on")];
  const paired = summarise(costs.on.map((value, round) => value / costs.off[round]!)).median;
  return [
    figure(`${name}: all off`, off, "ms", undefined, 3),
    figure(`${name}: all on`, on, "ms", undefined, 3),
    figure(`${name}: on, x off (minima)`, on / off, "", ["<=", 1.5]),
    figure(`${name}: on, x off (median of pairs)`, paired, ""),
    ...(Number.isNaN(floor) ? [] : [figure(`${name}: on, x pass-through`, on / floor, "", ["<=", 2])]),
  ];
}
