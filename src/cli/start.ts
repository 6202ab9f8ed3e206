import { resolve } from "node:path";
import { Command, Option } from "commander";
import type { Log } from "../contracts/index.ts";
import { loadServerSettings } from "../settings/load-server.ts";
import type { ServerSettings } from "../settings/server.ts";
import { createLog } from "../telemetry/log.ts";
import { type RunningServer, startServer } from "./server.ts";

interface StartFlags {
  readonly host?: string;
  readonly httpPort?: string;
  readonly grpcPort?: string;
  readonly metricsPort?: string;
  readonly settings?: string;
  readonly logLevel?: string;
}

/** `capstan start [FOLDER]`: serves until SIGTERM or SIGINT, then drains and exits 0. */
export function command(): Command {
  return new Command("start")
    .description("Serve a model repository")
    .argument("[folder]", "the model repository; default: model_repository_root of the settings")
    .option("--host <address>", "address to listen on")
    .option("--http-port <port>", "port of HTTP; 0 takes a free one")
    .option("--grpc-port <port>", "port of gRPC; 0 takes a free one")
    .option("--metrics-port <port>", "port of metrics; 0 takes a free one")
    .option("--settings <file>", "settings.json of the server; default: the one in the folder, if any")
    .addOption(new Option("--log-level <level>").choices(["debug", "info", "warn", "error", "silent"]))
    .action(start);
}

async function start(folder: string | undefined, flags: StartFlags): Promise<void> {
  const { settings, warnings, env } = await loadServerSettings({
    file: flags.settings,
    cwd: process.cwd(),
    env: process.env,
    flags: definedOnly({
      model_repository_root: folder && resolve(folder),
      host: flags.host,
      http_port: flags.httpPort,
      grpc_port: flags.grpcPort,
      metrics_port: flags.metricsPort,
      log_level: flags.logLevel,
    }),
  });
  const log = await createLog({ level: settings.log_level, pretty: isPretty(settings) });
  for (const { message, file, line, key } of warnings) log.warn({ file, line, key }, message);
  logProcessWarnings(log);
  warnAboutOpenBind(settings, log);
  const stopped = untilSignal();
  const server = await startServer(settings, env, log);
  announce(server, log);
  log.info({ signal: await stopped }, "stopping");
  await server.close();
  log.info({}, "stopped");
}

const definedOnly = (flags: Record<string, string | undefined>) =>
  Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));

const isPretty = (settings: ServerSettings) => process.stdout.isTTY && !settings.use_structured_logging;

/** A signal that comes twice at once, as from a terminal and from npm, is one wish. */
const SAME_WISH_MS = 1000;
const FAILURE = 1;

/** Resolves with the first signal to stop. One that comes later is from somebody who will not wait. */
function untilSignal(): Promise<NodeJS.Signals> {
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

/** The line that scripts wait for. */
function announce(server: RunningServer, log: Log): void {
  const index = server.repository.index();
  const named = (ready: boolean) =>
    index
      .filter((entry) => (entry.state === "READY") === ready)
      .map((entry) => `${entry.name}:${entry.version}`);
  const address = (listening: { host: string; port: number } | undefined) =>
    listening && `${listening.host.includes(":") ? `[${listening.host}]` : listening.host}:${listening.port}`;
  const addresses = {
    http: address(server.http),
    grpc: address(server.grpc),
    metrics: address(server.metrics),
  };
  log.info({ ...addresses, models: named(true), not_ready: named(false) }, "ready");
}

/** Node's own warnings go where everything else goes; what it calls experimental is none of an operator's business. */
function logProcessWarnings(log: Log): void {
  process.removeAllListeners("warning");
  process.on("warning", (warning) => {
    const level = warning.name === "ExperimentalWarning" ? "debug" : "warn";
    log[level]({ name: warning.name }, warning.message);
  });
}

function warnAboutOpenBind(settings: ServerSettings, log: Log): void {
  if (settings.host === "localhost" || settings.host === "::1" || settings.host.startsWith("127.")) return;
  log.warn(
    { host: settings.host },
    "this server listens beyond loopback without access control: anybody who reaches it can use its models",
  );
}
