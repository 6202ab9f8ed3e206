import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { TestRedis } from "../../gateway/replicas.ts";

const run = promisify(execFile);
const SCRIPT = path.join(path.dirname(import.meta.dirname), "redis.sh");

/** Starts a Redis of a test's own, installing it when it is not there. */
export async function startRedis(): Promise<TestRedis> {
  const runs = await mkdtemp(path.join(tmpdir(), "redis-peer-"));
  const env = { ...process.env, PEERS_RUN: runs };
  const script = async (command: string) => (await run(SCRIPT, [command], { env })).stdout.trim();
  return {
    url: await script("start"),
    crash: async () => void (await script("kill")),
    restart: async () => void (await script("start")),
    async [Symbol.asyncDispose]() {
      await script("stop");
      await rm(runs, { recursive: true, force: true });
    },
  };
}
