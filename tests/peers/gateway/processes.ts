import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import http from "node:http";
import net, { type AddressInfo, type Socket } from "node:net";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));
const PAGE = fileURLToPath(new URL("../../../examples/browser-stream/", import.meta.url));

export interface Ready {
  readonly msg: string;
  readonly http: string;
  readonly grpc: string;
}

/** A `capstan` process that says when it is ready. */
export class Process implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly ready: Ready;

  private constructor(child: ChildProcess, ready: Ready) {
    this.#child = child;
    this.ready = ready;
  }

  static async start(args: readonly string[]): Promise<Process> {
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    const { promise, resolve, reject } = Promise.withResolvers<Ready>();
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (line) => {
      const said = JSON.parse(line) as Ready;
      if (said.msg === "ready") resolve(said);
    });
    lines.on("close", () => reject(new Error(`capstan ${args[0]} ended before it was ready`)));
    return new Process(child, await promise);
  }

  /** As `kill` does; the exit code, null after SIGKILL. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, "exit");
    this.#child.kill(signal);
    await exited;
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGTERM");
  }
}

export interface TestOrigin extends AsyncDisposable {
  readonly url: string;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
};

/** The example's files on a port of their own, as any static web server has them. */
export async function servePage(): Promise<TestOrigin> {
  const server = http.createServer(async (request, response) => {
    const name = path.basename(new URL(request.url!, "http://localhost").pathname) || "index.html";
    try {
      const bytes = await readFile(path.join(PAGE, name));
      response.writeHead(200, { "content-type": TYPES[path.extname(name)] }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  return { url: await listen(server), [Symbol.asyncDispose]: () => close(server) };
}

export interface Wire extends TestOrigin {
  /** Breaks off every connection, and takes no new ones. */
  cut(): void;
}

/** A way to an address that a test can cut. */
export async function wireTo(address: string): Promise<Wire> {
  const [host = "", port] = address.split(":");
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = net.createServer((near) => {
    if (isCut) return void near.destroy();
    const far = net.connect(Number(port), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  const cut = () => {
    isCut = true;
    for (const socket of sockets) socket.destroy();
  };
  const url = await listen(server);
  const dispose = async () => {
    cut();
    await close(server);
  };
  return { url, cut, [Symbol.asyncDispose]: dispose };
}

async function listen(server: net.Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: net.Server): Promise<void> {
  if (server instanceof http.Server) server.closeAllConnections();
  server.close();
  await once(server, "close");
}
