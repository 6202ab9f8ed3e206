import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { eventually } from "../support/eventually.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository } from "../support/server.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const ROW = { inputs: [{ name: "x", shape: [1], datatype: "INT64", data: [0] }] };

let registry: TestRegistry;
let repository: TestRepository;
let cache_dir: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
  cache_dir = await mkdtemp(join(tmpdir(), "capstan-killed-"));
  await repository.write("m", registry.settings());
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await registry[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
  await rm(cache_dir, { recursive: true, force: true });
});

/** A server process; resolves to its address when it is ready. */
async function startProcess(): Promise<string> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  const env = { ...process.env, CAPSTAN_CACHE_DIR: cache_dir };
  const started = spawn(process.execPath, [MAIN, "start", repository.root, ...ports], { env });
  child = started;
  let complaint = "";
  started.stderr.on("data", (chunk) => {
    complaint += chunk;
  });
  for await (const line of createInterface({ input: started.stdout })) {
    const { msg, http } = JSON.parse(line) as { msg: string; http: string };
    if (msg !== "ready") continue;
    started.stdout.resume();
    return http;
  }
  throw new Error(`the server ended before it was ready: ${complaint}`);
}

async function kill(): Promise<void> {
  const ended = once(child!, "exit");
  child!.kill("SIGKILL");
  await ended;
}

/** Which version answers at an address; it adds its number. */
async function versionAt(address: string): Promise<string> {
  const response = await fetch(`http://${address}/v2/models/m/infer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(ROW),
  });
  const { outputs, model_version } = (await response.json()) as {
    outputs: [{ data: [number] }];
    model_version: string;
  };
  expect(String(outputs[0].data[0])).toBe(model_version);
  return model_version;
}

it("a server killed while it fetches, loads or swaps comes back whole, also without its registry", async () => {
  const fetched = (version: string) => eventually(() => registry.fetches(version) > 0);
  const moments: Record<string, (address: string) => Promise<unknown>> = {
    // The registry holds back the file.
    "2": () => fetched("2"),
    "3": async () => {
      await fetched("3");
      // Beside the folders and lists of versions 1 and 2: it is kept, and being loaded.
      await eventually(async () => (await readdir(join(cache_dir, "artifacts"))).length > 4);
    },
    "4": (address) => eventually(async () => (await versionAt(address)) === "4"),
  };
  for (const [version, moment] of Object.entries(moments)) {
    const address = await startProcess();
    registry.aliases.champion = version;
    registry.delay = version === "2" ? 100 : 0;
    await moment(address);
    await kill();
    registry.delay = 0;
  }
  registry.isDown = true;
  await using server = await serve(repository.root, { cache_dir });
  expect(await versionAt(server.url.replace("http://", ""))).toBe("4");
  expect(await readdir(join(cache_dir, "aside"))).toEqual([]);
});
