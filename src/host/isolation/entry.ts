/** What a thread or a child process of the server runs: one model, for the side that started it. */
import { parentPort, workerData } from "node:worker_threads";
import { serveGuest } from "./guest.ts";
import { NativeMark } from "./isolate.ts";
import { type Link, portLink, processLink } from "./link.ts";

if (parentPort === null) {
  // Whoever started this process tells it when to end, also when a terminal sends the signal to both.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
  process.on("disconnect", () => process.exit());
  serveGuest(processLink(process), () => process.exit());
} else {
  markAddons(new NativeMark((workerData as { native: SharedArrayBuffer }).native), portLink(parentPort));
  serveGuest(portLink(parentPort), () => process.exit());
}

/** Every native addon is loaded through this one function. */
function markAddons(mark: NativeMark, link: Link): void {
  const { dlopen } = process;
  process.dlopen = (...args) => {
    mark.set();
    dlopen.apply(process, args);
    link.send({ type: "note", name: "addon", value: args[1] });
  };
}
