/**
 * `npm run bench:reload`: aliases of a registry are moved while clients ask over HTTP, gRPC and streams. Counts what is
 * lost or answered by the wrong version, and how long a move takes to be served; then how memory grows over reloads.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Machine, machineBetween, sampleMachine, treeCpuMs } from "./cpu.ts";
import { openClients } from "./reload/clients.ts";
import { Crowd } from "./reload/crowd.ts";
import { type Growth, measureGrowth } from "./reload/growth.ts";
import { judge, type Spread, type Verdict } from "./reload/judge.ts";
import { promoteAll, STEP } from "./reload/promotions.ts";
import { LocalRegistry } from "./reload/registry.ts";
import { APART, MODELS, startFollower, versionFiles } from "./reload/served.ts";
import { formatTable, machineCells } from "./report.ts";
import type { RunningServer } from "./server-process.ts";

const USAGE = `Usage: npm run bench:reload -- [--promotions N] [--clients N] [--quiet SECONDS] [--poll MS] [--reloads N] [--code-reloads N] [--json]
  --promotions  moves of an alias (200)
  --clients     asking at the same time (16): half over HTTP, a quarter over gRPC, a quarter that read streams
  --quiet       seconds before the first move (10)
  --poll        milliseconds between two looks at the registry, at most; up to 20 % less (500)
  --reloads     load calls over which memory is watched (1000); 0 for none
  --code-reloads  the same for code on a thread of its own (300)`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      promotions: { type: "string", default: "200" },
      clients: { type: "string", default: "16" },
      quiet: { type: "string", default: "10" },
      poll: { type: "string", default: "500" },
      reloads: { type: "string", default: "1000" },
      "code-reloads": { type: "string", default: "300" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const [promotions, clients, quiet, poll, reloads, codeReloads] = [
    ...[values.promotions, values.clients, values.quiet],
    ...[values.poll, values.reloads, values["code-reloads"]],
  ].map(Number) as [number, number, number, number, number, number];
  const isGood =
    promotions >= 1 && clients >= 4 && quiet > 0 && poll >= 1 && reloads >= 0 && codeReloads >= 0;
  if (values.help || !isGood) {
    console.error(USAGE);
    process.exit(values.help ? 0 : 2);
  }
  return { promotions, clients, quiet, poll, reloads, codeReloads, json: values.json };
}

const options = readOptions();

async function runPromotions(registry: LocalRegistry, server: RunningServer): Promise<Verdict> {
  const crowd = new Crowd(openClients(server.ready, options.clients));
  try {
    for (const model of MODELS) await crowd.seen(model, 1);
    // The first requests open connections and compile code.
    await sleep(1000);
    crowd.answers.length = 0;
    await sleep(options.quiet * 1000);
    const quietUntil = performance.now();
    const moves = { count: options.promotions, pollMs: options.poll };
    const promotions = await promoteAll(registry, crowd, moves, ({ version }) => {
      if (!options.json && version % (25 * STEP) === 1) console.log(`version ${version} is served`);
    });
    await crowd.stop();
    return judge(crowd.answers, promotions, quietUntil);
  } finally {
    await crowd.stop();
  }
}

const spreadText = ({ p50, p99, max }: Spread) =>
  [p50, p99, max].map((value) => `${value.toFixed(0)} ms`).join(" / ");

function rows(verdict: Verdict, growths: readonly Growth[], machine: Machine): Record<string, string>[] {
  const { requests, lost, neverCurrent, wentBack, mixed, quietP99, swapP99, noticed, loaded } = verdict;
  const found: [string, string][] = [
    ["requests", String(requests)],
    ["lost", String(lost)],
    ["of a version never current", String(neverCurrent)],
    ["of an older version than before", String(wentBack)],
    ["of two versions", String(mixed)],
    ["p99, quiet", `${quietP99.toFixed(1)} ms`],
    ["p99, during a swap", `${swapP99.toFixed(1)} ms`],
    ["alias moved to first fetch, p50 / p99 / max", spreadText(noticed)],
    ["first fetch to first answer, p50 / p99 / max", spreadText(loaded)],
    ...Object.entries(machineCells(machine)),
  ];
  for (const { model, reloads, beforeMb, afterMb } of growths) {
    found.push([
      `RSS, before and after ${reloads} reloads of ${model}`,
      `${beforeMb.toFixed(0)} MB, ${afterMb.toFixed(0)} MB`,
    ]);
  }
  return found.map(([figure, value]) => ({ figure, value }));
}

await using registry = await LocalRegistry.start(await versionFiles());
for (const model of MODELS) registry.promote(model, 1);
const server = await startFollower(registry.address, `${options.poll}ms`);
try {
  const before = sampleMachine();
  const verdict = await runPromotions(registry, server);
  const { user, system } = process.cpuUsage();
  const machine = machineBetween(before, sampleMachine(), treeCpuMs(server.pid) + (user + system) / 1000);
  const growths: Growth[] = [];
  if (options.reloads > 0) growths.push(await measureGrowth(server, "iris", options.reloads));
  if (options.codeReloads > 0) growths.push(await measureGrowth(server, APART, options.codeReloads));
  if (options.json)
    console.log(JSON.stringify({ node: process.version, ...options, verdict, growths, machine }, null, 2));
  else console.log(formatTable(rows(verdict, growths, machine)));
  for (const fault of verdict.faults) console.error(`lost: ${fault}`);
  if (verdict.lost + verdict.neverCurrent + verdict.wentBack + verdict.mixed > 0) process.exitCode = 1;
} finally {
  await server.stop();
}
