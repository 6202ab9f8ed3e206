import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** Not the user's own: what somebody unloaded there would be missing here. */
const CACHE = join(tmpdir(), `capstan-cache-${process.pid}`);

export interface Line {
  readonly msg: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

/** A `capstan` of its own, and what it has said so far. */
export class Capstan {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  stderr = "";

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const own = { CAPSTAN_CACHE_DIR: CACHE, ...env };
    this.child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...own } });
    this.child.stderr!.on("data", (chunk) => {
      this.stderr += chunk;
    });
    let rest = "";
    this.child.stdout!.on("data", (chunk) => {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop()!;
      for (const part of parts) this.lines.push(JSON.parse(part) as Line);
    });
  }

  async line(msg: string): Promise<Line> {
    for (;;) {
      const found = this.lines.find((line) => line.msg === msg);
      if (found) return found;
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async exit(): Promise<number | null> {
    if (this.child.exitCode === null) await once(this.child, "exit");
    return this.child.exitCode;
  }
}
