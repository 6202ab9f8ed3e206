import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import type { Logger } from "pino";
import type { Log } from "../contracts/index.ts";
import { type LoadedServer, loadServerSettings } from "../settings/load-server.ts";
import { SettingsError } from "../settings/problems.ts";
import type { ServerSettings } from "../settings/server.ts";
import { createLog } from "../telemetry/log.ts";
import { startTracing } from "../telemetry/start-tracing.ts";
import { checkMemories } from "./memory-problems.ts";
import {
  addressText,
  definedOnly,
  isPretty,
  LINGER_MS,
  logProcessWarnings,
  sayReady,
  untilSignal,
} from "./process.ts";
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
    .option("--log-level <level>", "debug, info, warning, error or silent")
    .action(start);
}

async function start(folder: string | undefined, flags: StartFlags): Promise<void> {
  const loaded = await loadServerSettings({
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
  checkFolder(loaded);
  await checkMemories(loaded, process.cwd());
  const { settings, warnings, env, model } = loaded;
  const log = await createLog({ level: settings.log_level, pretty: isPretty(settings) });
  for (const { message, file, line, key } of warnings) log.warn({ file, line, key }, message);
  logProcessWarnings(log);
  warnAboutOpenBind(settings, log);
  const stopped = untilSignal();
  await using tracing = await startTracing(env, settings, log);
  const server = await startServer(settings, env, log, model, tracing);
  void server.usable.then((isUsable) => isUsable && announce(server, log));
  log.info({ signal: await stopped }, "stopping");
  await server.close(LINGER_MS);
  log.info({}, "stopped");
}

/** @throws SettingsError */
function checkFolder({ settings: { model_repository_root: file }, model }: LoadedServer): void {
  if (model !== undefined || existsSync(file)) return;
  const message = "there is no such folder, and it was to hold the models";
  throw new SettingsError([{ file, key: "", message, severity: "error" }]);
}

function announce(server: RunningServer, log: Logger): void {
  const index = server.repository.index();
  const named = (ready: boolean) =>
    index
      .filter((entry) => (entry.state === "READY") === ready)
      .map((entry) => `${entry.name}:${entry.version}`);
  const addresses = {
    http: addressText(server.http),
    grpc: addressText(server.grpc),
    metrics: server.metrics && addressText(server.metrics),
  };
  sayReady(log, { ...addresses, models: named(true), not_ready: named(false) });
}

function warnAboutOpenBind(settings: ServerSettings, log: Log): void {
  if (settings.auth.enabled) return;
  if (settings.host === "localhost" || settings.host === "::1" || settings.host.startsWith("127.")) return;
  log.warn(
    { host: settings.host },
    "this server listens beyond loopback without access control: anybody who reaches it can use its models",
  );
}
