/** What a thread or a child process of the server runs: one model, for the side that started it. */
import { constants } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { serveGuest } from "./guest.ts";
import { NativeMark } from "./isolate.ts";
import { portLink, processLink } from "./link.ts";

/** RTLD_NODELETE, which Node does not name. Windows takes no flags. */
const NO_DELETE = { linux: 0x1000, darwin: 0x80 }[process.platform as string] ?? 0;

if (parentPort === null) {
  // Whoever started this process tells it when to end, also when a terminal sends the signal to both.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
  process.on("disconnect", () => process.exit());
  serveGuest(processLink(process), () => process.exit());
} else {
  keepAddons(new NativeMark((workerData as { native: SharedArrayBuffer }).native));
  serveGuest(portLink(parentPort), () => process.exit());
}

/**
 * Every native addon is loaded through this one function. Node unloads an addon with the last thread that uses it, and
 * what the addon left to be done at the end of its threads then has no code any more: it is told to stay.
 */
function keepAddons(mark: NativeMark): void {
  const { dlopen } = process;
  process.dlopen = (module, file, flags = constants.dlopen.RTLD_LAZY) => {
    mark.set();
    dlopen.call(process, module, file, flags | NO_DELETE);
  };
}
