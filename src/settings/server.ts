import { readFileSync } from "node:fs";
import { findPackageJSON } from "node:module";
import { z } from "zod";
import { age, duration, flag, integer, port } from "./fields.ts";

const MIB = 1024 * 1024;

/** Levels by any of the usual names: Python's, and those of the LLM gateways. */
const LEVELS = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  critical: "error",
  fatal: "error",
  silent: "silent",
} as const;

const logLevel = z
  .string()
  .refine(
    (text) => Object.hasOwn(LEVELS, text.toLowerCase()),
    'must be "debug", "info", "warning", "error" or "silent"',
  )
  .transform((text) => LEVELS[text.toLowerCase() as keyof typeof LEVELS]);

const rootPath = z
  .string()
  .regex(/^(\/[^?#]*)?$/, 'must be "" or start with "/"')
  .transform((path) => path.replace(/\/+$/, ""));

const metricsPath = z.string().regex(/^\/[^?#]*$/, 'must start with "/", or be null for no metrics');

/** As in MLServer, and in Starlette's CORSMiddleware that it hands them to. */
const corsSettings = z.strictObject({
  allow_origins: z.array(z.string()).default([]),
  allow_origin_regex: z.string().refine(isPattern, "is not a regular expression").nullable().default(null),
  allow_credentials: flag().prefault(false),
  allow_methods: z.array(z.string()).default(["GET"]),
  allow_headers: z.array(z.string()).default([]),
  expose_headers: z.array(z.string()).default([]),
  max_age: integer(0).prefault(600).describe("Seconds a browser keeps a preflight answer."),
});

const tlsSettings = z.strictObject({
  cert: z.string().min(1).describe("Certificate chain, a PEM file."),
  key: z.string().min(1).describe("Private key, a PEM file."),
  client_ca: z
    .string()
    .min(1)
    .optional()
    .describe("PEM file; when given, clients must show a certificate of it."),
});

const authSettings = z.strictObject({
  enabled: flag().prefault(false).describe("Asks every caller for a key."),
  database_url: z
    .string()
    .min(1)
    .default("sqlite:./capstan.db")
    .describe("Keys, roles, usage, records, decisions about models: sqlite:path or postgres://..."),
  open: z.array(z.string().startsWith("/")).optional().describe("Routes that need no key."),
});

const completionCacheSettings = z.strictObject({
  store: z.enum(["memory", "sql", "redis"]).default("memory"),
  ttl: age().prefault("1d"),
  scope: z.enum(["shared", "key"]).default("shared").describe("Whether callers share answers."),
  max_bytes: integer(1)
    .prefault(64 * MIB)
    .describe("Of the store in memory."),
});

const inferenceLogSettings = z.strictObject({
  enabled: flag().prefault(false).describe("Writes a row for each request to the database."),
  bodies: flag().prefault(false).describe("Keeps what was asked and answered, without secrets."),
  retention: age().prefault("30d").describe("Older rows are deleted."),
});

const memoryWindow = z.strictObject({
  turns: integer(1).optional().describe("Newest turns that are put before a message."),
  tokens: integer(1).optional().describe("Newest turns that fit in so many tokens."),
});

/** One memory of conversations; keys not listed here are the store's. */
export const memorySettings = z.looseObject({
  store: z.string().min(1).describe("in-process, redis, sql, delta, or a plugin."),
  window: memoryWindow.optional(),
  on_error: z
    .enum(["refuse", "forget"])
    .optional()
    .describe(
      "Whether a request is refused while the store fails (the default), or answered without memory.",
    ),
});

export type MemorySettings = z.infer<typeof memorySettings>;

/**
 * settings.json. Names and defaults are MLServer's, except where docs say otherwise. Times are read as
 * text with a unit and given as milliseconds; paths are made absolute by loadServerSettings.
 */
export const serverSettingsSchema = z.strictObject({
  $schema: z.string().optional(),
  debug: flag().prefault(false).describe("Shows callers the details of internal errors."),
  host: z.string().min(1).default("127.0.0.1").describe("Address to listen on."),
  http_port: port().prefault(8080).describe("0 takes any free port."),
  grpc_port: port().prefault(8081).describe("0 takes any free port."),
  root_path: rootPath.prefault("").describe("Prefix of every HTTP route."),
  metrics_endpoint: metricsPath
    .nullable()
    .default("/metrics")
    .describe("Path of the metrics; null turns them off."),
  metrics_port: port().prefault(8082).describe("0 takes any free port."),
  metrics_rest_server_prefix: z
    .string()
    .regex(/^[a-zA-Z_:][a-zA-Z0-9_:]*$/, "must be a Prometheus metric name")
    .default("rest_server")
    .describe("Start of the names of the HTTP metrics."),
  grpc_max_message_length: z
    .preprocess((value) => value ?? 64 * MIB, integer(-1))
    .prefault(64 * MIB)
    .describe("Bytes of the largest gRPC message; -1 for no limit."),
  grpc_keepalive_time: duration()
    .prefault("2h")
    .describe("Idle time after which a gRPC connection is pinged."),
  grpc_keepalive_timeout: duration().prefault("20s").describe("Wait for the answer to a ping."),
  tracing_server: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("host:port of an OTLP collector's gRPC, for traces; OTEL_EXPORTER_OTLP_ENDPOINT comes first."),
  tls: tlsSettings.nullable().default(null).describe("For HTTP and gRPC; null serves plain text."),
  parallel_workers: integer(0).prefault(1).describe("Worker threads; 0 runs everything in process."),
  load_models_at_startup: flag().prefault(true),
  model_repository_root: z
    .string()
    .min(1)
    .default(".")
    .describe("Folder searched for model-settings.json files."),
  repository_poll: duration().prefault("5s").describe('Time between scans of the repository; "0" for none.'),
  load_concurrency: integer(1).prefault(2).describe("Models loaded at once."),
  readiness: z
    .enum(["all", "settled"])
    .default("all")
    .describe("Ready when all models of the start are loaded, or when each is loaded or refused."),
  server_name: z.string().min(1).default("capstan"),
  server_version: z
    .string()
    .optional()
    .transform((version) => version ?? packageVersion()),
  extensions: z
    .array(z.string())
    .default([])
    .describe("Further V2 extensions to list in the server metadata."),
  cors_settings: corsSettings.nullable().default(null),
  gzip_enabled: flag().prefault(true),
  log_level: logLevel.prefault("info").describe("debug, info, warning, error or silent."),
  use_structured_logging: flag().prefault(false).describe("JSON logs on a terminal, too."),
  logging_settings: z
    .union([z.string(), z.record(z.string(), z.unknown())])
    .nullable()
    .default(null),
  max_body_bytes: integer(1)
    .prefault(64 * MIB)
    .describe("Bytes of the largest HTTP request body."),
  max_connections: integer(0)
    .prefault(10_000)
    .describe("HTTP connections at once; further ones are closed at once. 0 for no limit."),
  header_timeout: duration()
    .prefault("30s")
    .describe('Wait for the headers of an HTTP request; "0" without end.'),
  body_timeout: duration().prefault("5m").describe('Wait for the whole of an HTTP request; "0" without end.'),
  drain_timeout: duration()
    .prefault("30s")
    .describe('Wait for requests in flight at the end; "0" without end.'),
  default_model: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      "Answers requests of the OpenAI and text APIs that name no model; null: the only language model.",
    ),
  stream_heartbeat: duration()
    .prefault("15s")
    .describe('Time between the comments that keep a stream of events open; "0" for none.'),
  cache_dir: z.string().min(1).default("~/.cache/capstan").describe("Where fetched artifacts are kept."),
  cache_max_bytes: integer(1)
    .prefault(20 * 1024 * MIB)
    .describe("Bytes of fetched artifacts that are kept."),
  notify_secret: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("Signs calls of /v2/repository/notify; null refuses those that are not local."),
  cache_enabled: flag().prefault(false).describe("Keeps answers of models whose settings say cache_enabled."),
  cache_size: integer(1).prefault(100).describe("MiB of answers kept."),
  redis_url: z.string().min(1).nullable().default(null).describe("Shared by the replicas of a server."),
  on_redis_down: z
    .enum(["local", "closed"])
    .default("local")
    .describe("Limits while Redis is away: each replica's own, or every limited request is refused."),
  resume_grace: duration()
    .prefault("15s")
    .describe("How long a stream asked for with resume=1 waits for its client."),
  auth: authSettings.prefault({}),
  completion_cache: completionCacheSettings.nullable().default(null),
  inference_log: inferenceLogSettings.prefault({}),
  memory: z.record(z.string(), memorySettings).default({}).describe("Memories of conversations, by name."),
});

export type ServerSettings = z.infer<typeof serverSettingsSchema>;

/** Version of this package. */
export function packageVersion(): string {
  const file = findPackageJSON("..", import.meta.url);
  return file === undefined ? "0" : (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}
