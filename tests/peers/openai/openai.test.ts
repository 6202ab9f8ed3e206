import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { serveLlms } from "../../support/scripted-llm.ts";

const run = promisify(execFile);
const HERE = import.meta.dirname;
const VENV = join(process.env.PEERS_CACHE ?? join(homedir(), ".cache/capstan-peers"), "openai-3.52.0");

/** Into a virtual environment that is kept. */
async function install(): Promise<void> {
  const done = join(VENV, ".installed");
  if (existsSync(done)) return;
  await mkdir(VENV, { recursive: true });
  await run("python3", ["-m", "venv", VENV]);
  await run(join(VENV, "bin/pip"), ["install", "-q", "-r", join(HERE, "requirements.txt")]);
  await writeFile(done, "");
}

it("the openai package of Python works unchanged", async () => {
  await install();
  await using served = await serveLlms();
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const args = [join(HERE, "checks.py"), served.server.url];
  const { stdout } = await run(join(VENV, "bin/python"), args, { env, timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({
    chat: [
      [
        ["Echo: hi", "length"],
        ["Echo: hi", "length"],
      ],
      6,
    ],
    chat_stream: [["Echo:", " hi"], 3],
    tools: [
      ["weather", '{"city":"Rome"}'],
      ["time", "{}"],
    ],
    completions: ["Echo: a", "Echo: b"],
    embeddings: [4, true],
    models: [["echo", "scripted"], "echo"],
    errors: [
      ["NotFoundError", "model_not_found"],
      ["RateLimitError", "rate_limited"],
      ["temperature", "invalid_request_error"],
      ["APIError", "The upstream broke off"],
    ],
    concurrently: true,
  });
});
