import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import remote from "../../../runtimes/remote/index.ts";
import type { Runtime } from "../../../src/contracts/index.ts";
import { testCall, testHost } from "../../../src/testing/index.ts";

const run = promisify(execFile);
const FOLDER = path.dirname(import.meta.dirname);

/** The Python of the MLServer peer, which has what its models are made with. */
export const PYTHON = path.join(
  process.env.PEERS_CACHE ?? path.join(homedir(), ".cache/peers"),
  "mlserver-1.7.1/bin/python",
);

export interface Peer extends AsyncDisposable {
  readonly http: string;
  readonly grpc: string;
}

/** Installs a peer, once for all suites. */
export async function install(script: string): Promise<void> {
  await run(path.join(FOLDER, script), ["install"]);
}

/** Starts a peer of this suite's own. */
export async function start(script: string, ...repository: string[]): Promise<Peer> {
  const runs = await mkdtemp(path.join(tmpdir(), "remote-peer-"));
  const env = { ...process.env, PEERS_RUN: runs };
  const { stdout } = await run(path.join(FOLDER, script), ["start", ...repository], { env });
  const [http = "", grpc = ""] = stdout.trim().split(/\s+/);
  return {
    http,
    grpc,
    async [Symbol.asyncDispose]() {
      try {
        await run(path.join(FOLDER, script), ["stop"], { env });
      } finally {
        await rm(runs, { recursive: true, force: true });
      }
    },
  };
}

/** Loads a peer's model the way the host does. */
export async function open(uri: string, extra: Record<string, unknown>): Promise<Runtime> {
  const parsed = remote.options.safeParse(extra);
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  const model = { name: "here", version: "1", folder: import.meta.dirname, uri };
  return remote.load(model, parsed.data, testHost(), testCall());
}
