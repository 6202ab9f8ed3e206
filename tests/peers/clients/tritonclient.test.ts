import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { startCapstan } from "./capstan.ts";

/** What one check of the Python script found. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, "python");
const VENV = join(process.env.PEERS_CACHE ?? join(homedir(), ".cache/capstan-peers"), "tritonclient-2.73.0");

/** Into a virtual environment that is kept. */
async function install(): Promise<void> {
  const done = join(VENV, ".installed");
  if (existsSync(done)) return;
  await mkdir(VENV, { recursive: true });
  await run("python3", ["-m", "venv", VENV]);
  await run(join(VENV, "bin/pip"), ["install", "-q", "-r", join(SCRIPT, "requirements.txt")]);
  await writeFile(done, "");
}

/** Every line the script printed; the last one says how many checks there were. */
async function runChecks(): Promise<unknown[]> {
  await install();
  await using capstan = await startCapstan();
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const args = [join(SCRIPT, "main.py"), capstan.http, capstan.grpc];
  const { stdout } = await run(join(VENV, "bin/python"), args, { env, timeout: 300_000 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

// Before the tests are named: each check is one of them.
const lines = await runChecks();
const checks = lines.slice(0, -1) as Check[];

describe("the official Triton client, without a workaround", () => {
  it("ran all of its checks", () => {
    expect(lines.at(-1)).toEqual({ done: checks.length });
    expect(checks.length).toBeGreaterThan(100);
  });

  it.each(checks)("$name", ({ ok, detail }) => {
    expect(detail).toBe("");
    expect(ok).toBe(true);
  });
});
