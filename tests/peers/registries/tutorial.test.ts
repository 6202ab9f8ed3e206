import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { ROOT } from "../../support/source-files.ts";
import { pythonWith } from "../python-venv.ts";

const HERE = import.meta.dirname;

/** The commands of a section of the README, as one script. */
async function commandsOf(section: string): Promise<string> {
  const readme = await readFile(join(ROOT, "README.md"), "utf8");
  const [, own] = readme.split(`\n## ${section}\n`);
  const blocks = own!.split("\n## ")[0]!.matchAll(/```sh\n(.*?)```/gs);
  return Array.from(blocks, ([, block]) => block).join("");
}

async function freePorts(count: number): Promise<string[]> {
  const ask = `import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(${count})]
print(*[each.getsockname()[1] for each in held])`;
  const { stdout } = await promisify(execFile)("python3", ["-c", ask]);
  return stdout.trim().split(" ");
}

/** Ends a process and what it started. */
async function endGroup(child: ChildProcess): Promise<void> {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    // They have all ended.
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

it("the registry tutorial of the README, typed as written, ends with the answer changed", {
  timeout: 300_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "tutorial-"));
  const python = await pythonWith("mlflow-3.17.2", join(HERE, "../mlflow/requirements.txt"));
  const main = join(ROOT, "src/cli/main.ts");
  await writeFile(join(folder, "capstan"), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`);
  await chmod(join(folder, "capstan"), 0o755);
  const [mlflow, http, grpc, metrics] = (await freePorts(4)) as [string, string, string, string];
  const script = (await commandsOf("A registry"))
    // The packages are there already, and the ports may be taken.
    .replace(/^pip install .*\n/, "")
    .replaceAll("5000", mlflow)
    .replaceAll("127.0.0.1:8080", `127.0.0.1:${http}`);
  const env = {
    ...process.env,
    PATH: [folder, dirname(python), process.env.PATH].join(":"),
    MLFLOW_DISABLE_TELEMETRY: "true",
    CAPSTAN_HTTP_PORT: http,
    CAPSTAN_GRPC_PORT: grpc,
    CAPSTAN_METRICS_PORT: metrics,
    CAPSTAN_CACHE_DIR: join(folder, "cache"),
    CAPSTAN_URL: `http://127.0.0.1:${http}`,
  };
  // What goes on in the background has logs of its own, so that the rest can be read to its end.
  const quiet = script.replace(/^(.*) &$/gm, "$1 >$RANDOM.log 2>&1 &");
  const child = spawn("bash", ["-e"], {
    cwd: folder,
    env,
    detached: true,
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    child.stdin!.end(quiet);
    const printed = await text(child.stdout!);
    const answers = [...printed.matchAll(/"model_version":"(\d)".*?"data":\[(\d+)\]/g)];
    expect(
      answers.map(([, version, value]) => [version, value]),
      printed,
    ).toEqual([
      ["1", "14"],
      ["2", "21"],
      ["1", "14"],
    ]);
    expect(printed).toMatch(/scaled +2 +READY/);
    expect(printed).toMatch(/scaled +1 +READY .* rolled back/);
  } finally {
    await endGroup(child);
    await rm(folder, { recursive: true, force: true });
  }
});
