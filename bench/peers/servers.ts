/** Other V2 servers with the same ONNX models. Their scripts install them on first use. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../capstan.ts";
import type { RunningServer } from "../server-process.ts";
import type { BenchServer } from "../servers.ts";
import { startWithModels } from "../with-models.ts";
import { type Peer, writeRepository } from "./repositories.ts";

const run = promisify(execFile);

/** Of `model-settings/`: a forest and a perceptron. */
export const MODELS = ["iris", "digits"] as const;

/** Requests that wait are joined up to so many rows. */
const BATCH = 64;

/** Capstan, as it is and with batching, and the others. */
export const CONTENDERS: readonly BenchServer[] = [
  { name: "capstan", answers: () => true, start: ({ models }) => startBoth(models, 0) },
  { name: "capstan, batching", answers: () => true, start: ({ models }) => startBoth(models, BATCH) },
  { name: "triton", answers: () => true, start: ({ models }) => startPeer("triton", models) },
  {
    name: "mlserver",
    // It reads raw tensors only of gRPC.
    answers: ({ encoding }) => encoding !== "binary",
    start: ({ models }) => startPeer("mlserver", models),
  },
];

function startBoth(models: string, max_batch_size: number): Promise<RunningServer> {
  const settings = MODELS.map((name) => {
    const parameters = { uri: path.resolve(models, name, "model.onnx") };
    return [name, { implementation: "onnx", max_batch_size, parameters }];
  });
  return startWithModels(Object.fromEntries(settings));
}

async function startPeer(peer: Peer, models: string): Promise<RunningServer> {
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  const repository = path.join(folder, "models");
  for (const name of MODELS) await writeRepository(peer, name, path.join(models, name), repository);
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
