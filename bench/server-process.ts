import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** What a server's line with `"msg":"ready"` says: where it listens, as `host:port`. */
export interface Ready {
  /** "" for a server of gRPC alone. */
  readonly http: string;
  readonly grpc?: string;
  readonly metrics?: string;
}

/** A server that answers. */
export interface RunningServer {
  readonly pid: number;
  readonly ready: Ready;
  /** Resolves when it has ended. */
  stop(): Promise<unknown>;
}

/** One that was started as a child of this process. */
export interface ServerProcess extends RunningServer {
  /** The exit code, or the name of the signal that ended it. */
  readonly exit: Promise<number | string>;
  /** SIGTERM; resolves when it has ended. */
  stop(): Promise<number | string>;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
}

/** Far above what any server here needs: this only ends a run that hangs. */
const READY_TIMEOUT_MS = 120_000;

/**
 * Starts a server and waits for its ready line on standard output.
 * @throws Error with what it printed, when it ends or the time is up before that line.
 */
export async function startServer({ file, args, cwd }: Command): Promise<ServerProcess> {
  const child = spawn(file, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const exit = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string);
  const ready = await readyLine(child, exit, [file, ...args].join(" ")).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  return {
    pid: child.pid as number,
    ready,
    exit,
    stop: () => {
      child.kill("SIGTERM");
      return exit;
    },
  };
}

async function readyLine(
  child: ChildProcess,
  exit: Promise<number | string>,
  command: string,
): Promise<Ready> {
  const printed: string[] = [];
  let waiting = true;
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  const fail = (what: string) => reject(new Error(`\`${command}\` ${what}\n${printed.join("\n")}`));
  const timer = setTimeout(() => fail(`was not ready after ${READY_TIMEOUT_MS} ms`), READY_TIMEOUT_MS);
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      if (!waiting) return void (stream === child.stderr && console.error(line));
      const ready = parseReady(line);
      if (ready === undefined) printed.push(line);
      else resolve(ready);
    });
  }
  exit.then((code) => fail(`ended with ${code} before it was ready`), reject);
  return promise.finally(() => {
    waiting = false;
    clearTimeout(timer);
  });
}

function parseReady(line: string): Ready | undefined {
  if (!line.startsWith("{") || !line.includes('"ready"')) return undefined;
  const fields = JSON.parse(line) as Record<string, unknown>;
  return fields.msg === "ready" && typeof fields.http === "string" ? (fields as unknown as Ready) : undefined;
}

/** A bound address such as `127.0.0.1:8080` as a base URL. */
export function baseUrl(address: string): string {
  return address.includes("://") ? address.replace(/\/$/, "") : `http://${address}`;
}
