import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { pythonWith } from "../python-venv.ts";
import { startCapstan } from "./capstan.ts";

/** What one check of the Python script found. */
interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, "python");

/** Every line the script printed; the last one says how many checks there were. */
async function runChecks(): Promise<unknown[]> {
  const python = await pythonWith("tritonclient-2.73.0", join(SCRIPT, "requirements.txt"));
  await using capstan = await startCapstan();
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const args = [join(SCRIPT, "main.py"), capstan.http, capstan.grpc];
  const { stdout } = await run(python, args, { env, timeout: 300_000 });
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
