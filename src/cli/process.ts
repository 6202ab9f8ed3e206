import type { Logger } from "pino";
import type { Log } from "../contracts/index.ts";
import type { ServerSettings } from "../settings/server.ts";

/** Flags that were given. */
export const definedOnly = (flags: Record<string, string | undefined>) =>
  Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));

/** Whether a person reads the log. */
export const isPretty = (settings: ServerSettings) =>
  process.stdout.isTTY && !settings.use_structured_logging;

/** Connections that the system has accepted and this process has not seen yet would be lost without it. */
export const LINGER_MS = 250;

/** A signal that comes twice at once, as from a terminal and from npm, is one wish. */
const SAME_WISH_MS = 1000;
const FAILURE = 1;

/** Resolves with the first signal to stop. One that comes later is from somebody who will not wait. */
export function untilSignal(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (first !== undefined && performance.now() - first > SAME_WISH_MS) process.exit(FAILURE);
    first ??= performance.now();
    resolve(signal);
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, onSignal);
  return promise;
}

/** Node's own warnings go where everything else goes; what it calls experimental is none of an operator's business. */
export function logProcessWarnings(log: Log): void {
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    const level = warning.name === "ExperimentalWarning" ? "debug" : "warn";
    log[level]({ name: warning.name }, warning.message);
  });
}

/** The line that scripts wait for, and read the ports in: at every level of the log but `silent`. */
export function sayReady(log: Logger, fields: object): void {
  const { level } = log;
  if (level !== "silent" && !log.isLevelEnabled("info")) log.level = "info";
  log.info(fields, "ready");
  log.level = level;
}

/** `host:port` */
export function addressText({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
