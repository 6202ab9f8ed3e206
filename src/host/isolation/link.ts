import type { ChildProcess } from "node:child_process";
import type { MessagePort, Worker } from "node:worker_threads";
import type { Message } from "./messages.ts";

/** One end of a line between the server and a thread or process that runs a model. Messages keep their order. */
export interface Link {
  /** @throws DataCloneError where the message holds what cannot be copied, such as a function. */
  send(message: Message, transfer?: readonly ArrayBuffer[]): void;
  /** Once; messages that came before are kept. */
  listen(receive: (message: Message) => void): void;
}

/** Between threads: buffers are handed over, not copied. */
export function portLink(port: MessagePort | Worker): Link {
  return {
    send: (message, transfer = []) => port.postMessage(message, transfer),
    listen: (receive) => void port.on("message", receive),
  };
}

/** Between processes: everything is copied through a pipe. */
export function processLink(peer: ChildProcess | NodeJS.Process): Link {
  return {
    send: (message) => {
      if (peer.connected) peer.send?.(message, undefined, undefined, ignoreClosed);
    },
    listen: (receive) => void peer.on("message", receive as (message: unknown) => void),
  };
}

/** The other side has ended, which whoever started it hears of by other means. */
function ignoreClosed(): void {}
