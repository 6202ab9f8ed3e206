import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openStore } from "../../src/store/database.ts";
import { eventually } from "../support/eventually.ts";
import { TestRepository } from "../support/server.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const REQUESTS = 300;

let repository: TestRepository;
let folder: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  repository = await TestRepository.create();
  folder = await mkdtemp(join(tmpdir(), "capstan-killed-"));
  await repository.write("echo", {
    name: "echo",
    implementation: "llm",
    parameters: { extra: { framework: "echo" } },
  });
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await repository[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const database = () => `sqlite:${join(folder, "log.db")}`;

/** A server process that writes its log; resolves to its address when it is ready. */
async function startProcess(): Promise<string> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  const env = {
    ...process.env,
    ...{ CAPSTAN_CACHE_DIR: join(folder, "cache"), DATABASE_URL: database() },
    CAPSTAN_INFERENCE_LOG: '{"enabled": true}',
  };
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

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const ended = once(child!, "exit") as Promise<[number | null]>;
  child!.kill(signal);
  return (await ended)[0];
}

/** Resolves to the ids of the requests, all answered. */
async function ask(address: string): Promise<string[]> {
  const ids = Array.from({ length: REQUESTS }, (_, index) => `request-${index}`);
  const body = JSON.stringify({ text_input: "a b" });
  for (const id of ids) {
    const headers = { "content-type": "application/json", "x-request-id": id };
    const response = await fetch(`http://${address}/v2/models/echo/generate`, {
      method: "POST",
      headers,
      body,
    });
    expect(response.status).toBe(200);
    await response.text();
  }
  return ids.sort();
}

async function written(): Promise<string[]> {
  await using store = await openStore(database(), "/");
  const rows = await store.database.selectFrom("inference_log").select("request_id").execute();
  return rows.map(({ request_id }) => request_id).sort();
}

/** How many rows are on disk. */
async function spooled(): Promise<number> {
  const spool = join(folder, "cache", "inference-log");
  const names = await readdir(spool, { recursive: true }).catch(() => []);
  const files = names
    .filter((name) => name.endsWith(".jsonl"))
    .map((name) => readFile(join(spool, name), "utf8"));
  return (await Promise.all(files)).join("").split("\n").length - 1;
}

it("writes every row before it ends by SIGTERM", async () => {
  const asked = await ask(await startProcess());
  expect(await end("SIGTERM")).toBe(0);
  expect(await written()).toEqual(asked);
});

it("writes after a restart, each once, what a killed server had on disk", async () => {
  const address = await startProcess();
  const store = await openStore(database(), "/");
  await store.database.schema.alterTable("inference_log").renameTo("away").execute();
  const asked = await ask(address);
  await eventually(async () => (await spooled()) === REQUESTS);
  await end("SIGKILL");
  await store.database.schema
    .alterTable("away" as never)
    .renameTo("inference_log")
    .execute();
  await store[Symbol.asyncDispose]();
  await startProcess();
  await eventually(async () => (await written()).length === REQUESTS);
  await eventually(async () => (await spooled()) === 0);
  expect(await written()).toEqual(asked);
});

it("answers, and says so, when neither the database nor the disk takes rows", async () => {
  const address = await startProcess();
  const store = await openStore(database(), "/");
  await store.database.schema.alterTable("inference_log").renameTo("away").execute();
  await store[Symbol.asyncDispose]();
  await mkdir(join(folder, "cache"), { recursive: true });
  await writeFile(join(folder, "cache", "inference-log"), "");
  const said: string[] = [];
  child!.stdout!.on("data", (chunk) => said.push(String(chunk)));
  await ask(address);
  await eventually(async () => said.join("").includes("rows of the inference log are lost"));
  expect(await end("SIGTERM")).toBe(0);
});
