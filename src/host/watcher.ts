import { relative, sep } from "node:path";
import { watch } from "chokidar";
import type { Log } from "../contracts/index.ts";

/** Quiet time after the last event before a scan: a copied folder makes many events. */
const QUIET_MS = 100;

/**
 * Calls `changed` when something under `root` changed, and every `pollMs` milliseconds besides: network
 * file systems and Kubernetes volumes do not always tell. Dispose to stop.
 */
export function watchRepository(
  root: string,
  pollMs: number,
  changed: () => void,
  log: Log,
): AsyncDisposable {
  let quiet: NodeJS.Timeout | undefined;
  const soon = () => {
    clearTimeout(quiet);
    quiet = setTimeout(changed, QUIET_MS);
  };
  const watcher = watch(root, { ignoreInitial: true, ignored: (path) => isHidden(relative(root, path)) });
  watcher.on("all", soon);
  // What changed while it was finding its way around went unnoticed.
  watcher.on("ready", soon);
  watcher.on("error", (error) => {
    log.warn({ root, err: error }, "Watching the repository failed; changes are found by polling");
  });
  const poll = pollMs > 0 ? setInterval(changed, pollMs) : undefined;
  return {
    async [Symbol.asyncDispose]() {
      clearTimeout(quiet);
      clearInterval(poll);
      await watcher.close();
    },
  };
}

const isHidden = (path: string) =>
  path
    .split(sep)
    .some((part) => part === "node_modules" || (part.startsWith(".") && part !== "." && part !== ".."));
