import { fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { type Link, portLink, processLink } from "./link.ts";

export type IsolateKind = "thread" | "process";

/** A thread or a process that runs one model. */
export interface Isolate {
  readonly link: Link;
  /** Absent for a thread. */
  readonly pid?: number | undefined;
  /** Why it has ended, as part of a sentence; never rejects. */
  readonly ended: Promise<string>;
  /** Ends it at once. False where that may not be done; see {@link NativeMark}. */
  kill(): boolean;
}

/** ".ts" in a checkout and ".js" in the built package. */
const ENTRY = new URL(`./entry${extname(new URL(import.meta.url).pathname)}`, import.meta.url);

export function startIsolate(kind: IsolateKind, name: string): Isolate {
  return kind === "thread" ? startThread(name) : startProcess();
}

function startThread(name: string): Isolate {
  const native = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const worker = new Worker(ENTRY, { name, execArgv: [], workerData: { native } });
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let fault: unknown;
  worker.on("error", (error: unknown) => {
    fault = error;
  });
  worker.on("exit", (code) =>
    resolve(fault === undefined ? `its thread exited with ${code}` : String(fault)),
  );
  return {
    link: portLink(worker),
    ended,
    kill() {
      if (new NativeMark(native).isSet) return false;
      void worker.terminate();
      return true;
    },
  };
}

function startProcess(): Isolate {
  const child = fork(fileURLToPath(ENTRY), [], {
    serialization: "advanced",
    execArgv: [],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  child.on("error", (error) => resolve(error.message));
  child.on("exit", (code, signal) => resolve(`its process ended with ${signal ?? code}`));
  return { link: processLink(child), pid: child.pid, ended, kill: () => child.kill("SIGKILL") };
}

/**
 * Set by a thread before it loads its first native addon. Terminating a thread while an addon runs (such as
 * onnxruntime's `session.run`) aborts the whole process, and from outside nobody can tell whether it does: so a thread
 * that has loaded one is never terminated, only asked to end. What is written in JavaScript alone may be.
 */
export class NativeMark {
  readonly #cell: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cell = new Int32Array(memory);
  }

  get isSet(): boolean {
    return Atomics.load(this.#cell, 0) !== 0;
  }

  set(): void {
    Atomics.store(this.#cell, 0, 1);
  }
}
