import { Command, InvalidArgumentError } from "commander";
import { parseUpstream, type UpstreamAddress } from "../gateway/address.ts";
import { startGateway } from "../gateway/server.ts";
import { loadServerSettings } from "../settings/load-server.ts";
import { createLog } from "../telemetry/log.ts";
import { startTracing } from "../telemetry/start-tracing.ts";
import {
  addressText,
  definedOnly,
  isPretty,
  LINGER_MS,
  logProcessWarnings,
  sayReady,
  untilSignal,
} from "./process.ts";

interface GatewayFlags {
  readonly upstream: UpstreamAddress;
  readonly httpPort: string;
  readonly host?: string;
  readonly redis?: string;
  readonly allowOrigin?: readonly string[];
  readonly settings?: string;
  readonly logLevel?: string;
}

/** `capstan gateway`: streams a V2 gRPC server's answers to browsers until SIGTERM or SIGINT, then drains, exits 0. */
export function command(): Command {
  return new Command("gateway")
    .description("Stream answers of a V2 gRPC server to browsers: server-sent events before ModelStreamInfer")
    .requiredOption("--upstream <address>", "host:port of its gRPC; grpcs://host:port for TLS", upstreamOf)
    .option("--http-port <port>", "port of HTTP; 0 takes a free one", "8083")
    .option("--host <address>", "address to listen on")
    .option(
      "--redis <url>",
      "shared by the gateways, so that a stream can be resumed, or cancelled, at each of them",
      redisOf,
    )
    .option("--allow-origin <origins...>", "origins whose pages may read the streams; * for all")
    .option(
      "--settings <file>",
      "settings.json, for what has no flag; default: the one in this folder, if any",
    )
    .option("--log-level <level>", "debug, info, warning, error or silent")
    .action(start);
}

async function start(flags: GatewayFlags): Promise<void> {
  const { settings, warnings, env } = await loadServerSettings({
    file: flags.settings,
    cwd: process.cwd(),
    env: process.env,
    flags: {
      ...definedOnly({
        host: flags.host,
        http_port: flags.httpPort,
        redis_url: flags.redis,
        log_level: flags.logLevel,
      }),
      ...(flags.allowOrigin && { cors_settings: corsOf(flags.allowOrigin) }),
    },
  });
  const log = await createLog({ level: settings.log_level, pretty: isPretty(settings) });
  for (const { message, file, line, key } of warnings) log.warn({ file, line, key }, message);
  logProcessWarnings(log);
  const stopped = untilSignal();
  await using tracing = await startTracing(env, settings, log);
  const gateway = await startGateway(settings, flags.upstream, log, tracing);
  sayReady(log, { http: addressText(gateway.http), upstream: flags.upstream.host });
  log.info({ signal: await stopped }, "stopping");
  await gateway.close(LINGER_MS);
  log.info({}, "stopped");
}

/** What pages send to, and read of, the routes of a gateway. */
function corsOf(allow_origins: readonly string[]) {
  return {
    allow_origins,
    allow_methods: ["GET", "POST"],
    allow_headers: [
      ...["content-type", "authorization", "x-api-key", "x-request-id", "last-event-id"],
      ...["traceparent", "tracestate", "baggage"],
    ],
    expose_headers: ["x-request-id"],
  };
}

function upstreamOf(text: string): UpstreamAddress {
  const address = parseUpstream(text);
  if (address !== undefined) return address;
  throw new InvalidArgumentError("Give host:port, or grpcs://host:port");
}

function redisOf(text: string): string {
  if (/^rediss?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new InvalidArgumentError("Give redis://host:port, or rediss://host:port");
}
