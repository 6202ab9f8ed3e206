/**
 * Uses the package in the current folder's node_modules as its users do: imports it, starts the server with
 * the samples it brings, asks for one inference, and ends it with SIGTERM.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { processIds } from "../bench/cpu.ts";
import { baseUrl, startServer } from "../bench/server-process.ts";

const SAMPLES = "node_modules/capstan/model-settings";

function importPackage(): void {
  const program = `
    import { defineRuntime } from "capstan";
    import * as testing from "capstan/testing";
    console.log(typeof defineRuntime, Object.keys(testing).length > 0);`;
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
  });
  assert.equal(output.trim(), "function true");
}

async function infer(address: string): Promise<unknown> {
  const input = { name: "X", datatype: "FP32", shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] };
  const response = await fetch(`${baseUrl(address)}/v2/models/iris/infer`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ inputs: [input] }),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text);
}

/** The pages' files come from packages that are not installed here: the package brings them. */
async function openPages(address: string): Promise<void> {
  for (const page of ["docs", "redoc", "v2/models/iris/docs"]) {
    const html = await (await fetch(`${baseUrl(address)}/${page}`)).text();
    const files = [...html.matchAll(/(?:src|href|data-url)="([^"]*)"/g)].map(([, file]) => file);
    assert.ok(files.length > 3, `${page} loads its files`);
    for (const file of files) {
      const { status } = await fetch(baseUrl(address) + file);
      assert.equal(status, 200, `${page} loads ${file}`);
    }
  }
}

async function serve(): Promise<void> {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  const server = await startServer({ file: "npx", args: ["capstan", "start", SAMPLES, ...ports] });
  try {
    const { outputs } = (await infer(server.ready.http)) as { outputs: { name: string; data: unknown[] }[] };
    const label = outputs.find(({ name }) => name === "label");
    await openPages(server.ready.http);
    assert.deepEqual(label?.data, [0], "the first flower of the iris data is of class 0");
  } finally {
    // npx and its shell do not pass signals on; the server is the last of the three.
    process.kill(processIds(server.pid).at(-1) as number, "SIGTERM");
    assert.equal(await server.exit, 0, "exit code after SIGTERM");
  }
}

importPackage();
await serve();
console.log("imported, served, inferred, showed its pages and stopped");
