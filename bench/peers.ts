/** Other V2 servers with the same ONNX forest, for `--peers`. Their scripts install them on first use. */
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { ROOT } from "./capstan.ts";
import type { Scenario } from "./scenarios.ts";
import type { RunningServer } from "./server-process.ts";
import type { BenchServer } from "./servers.ts";

const run = promisify(execFile);

/** One row of iris, the smallest request: what the server itself costs. */
const answers = ({ model, connections, remote }: Scenario) => model === "iris" && connections > 1 && !remote;

export const PEERS: readonly BenchServer[] = [
  { name: "mlserver", answers, start: ({ models }) => startPeer("mlserver", models, "iris/model.onnx") },
  { name: "triton", answers, start: ({ models }) => startPeer("triton", models, "iris/1/model.onnx") },
];

/** @param artifact where this peer's repository has the ONNX file of `iris`. */
async function startPeer(peer: string, models: string, artifact: string): Promise<RunningServer> {
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  const repository = path.join(folder, "models");
  await cp(path.join(import.meta.dirname, "peers", peer), repository, { recursive: true });
  await cp(path.join(models, "iris/model.onnx"), path.join(repository, artifact));
  const script = path.join(ROOT, "tests/peers", `${peer}.sh`);
  const env = { ...process.env, PEERS_RUN: folder, TRITON_EXTRAS: "onnxruntime" };
  const { stdout } = await run(script, ["start", repository], { env });
  const [http = "", grpc] = stdout
    .trim()
    .split(/\s+/)
    .map((url) => new URL(url).host);
  const stop = async () => {
    await run(script, ["stop"], { env });
    await rm(folder, { recursive: true, force: true });
    return 0;
  };
  const pid = Number(await readFile(path.join(folder, peer, "pid"), "utf8"));
  return { pid, ready: { http, grpc }, stop };
}
