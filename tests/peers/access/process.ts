import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
const PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];

interface Line {
  readonly msg: string;
  readonly http: string;
  readonly grpc: string;
}

/** A server with access control, in a process of its own. */
export class Replica implements AsyncDisposable {
  readonly http: string;
  readonly grpc: string;
  /** The messages of its log. */
  readonly said: readonly string[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { http, grpc }: Line, said: readonly string[]) {
    this.#child = child;
    this.http = `http://${http}`;
    this.grpc = grpc;
    this.said = said;
  }

  /** @param env settings, as variables. */
  static async start(folder: string, env: Readonly<Record<string, string>>): Promise<Replica> {
    const child = spawn(process.execPath, [MAIN, "start", folder, ...PORTS], {
      stdio: ["ignore", "pipe", "inherit"],
      cwd: folder,
      env: { ...process.env, ...env },
    });
    const { promise, resolve, reject } = Promise.withResolvers<Line>();
    const said: string[] = [];
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      const entry = JSON.parse(line) as Line;
      said.push(entry.msg);
      if (entry.msg === "ready") resolve(entry);
    });
    lines.on("close", () => reject(new Error("a replica ended before it was ready")));
    return new Replica(child, await promise, said);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    await exited;
  }
}
