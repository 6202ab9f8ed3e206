import { createHash } from "node:crypto";
import { join } from "node:path";
import { Redis } from "ioredis";
import { administration } from "../../access/administration.ts";
import { AccessControl, OPEN_ROUTES } from "../../access/control.ts";
import { KeyNews } from "../../access/key-news.ts";
import { Limits } from "../../access/limits/limits.ts";
import { Places } from "../../access/limits/places.ts";
import { Quotas } from "../../access/limits/quotas.ts";
import { Rates } from "../../access/limits/rates.ts";
import { AccessPlane } from "../../access/plane.ts";
import { AccessRecords } from "../../access/records.ts";
import { Usage } from "../../access/usage.ts";
import { CapstanError, type Log } from "../../contracts/index.ts";
import type { Administration } from "../../host/administration.ts";
import type { DataPlane } from "../../host/types.ts";
import { CompletionCache } from "../../records/completions/cache.ts";
import { memoryStore, redisStore, sqlStore } from "../../records/completions/stores.ts";
import { LogPlane } from "../../records/inference-log/plane.ts";
import { Spool } from "../../records/inference-log/spool.ts";
import { LogWriter } from "../../records/inference-log/writer.ts";
import type { Environment } from "../../settings/interpolate.ts";
import { type Problem, SettingsError } from "../../settings/problems.ts";
import type { ServerSettings } from "../../settings/server.ts";
import { Arrival, type Awaited } from "../../store/arrival.ts";
import { openStore, type Store } from "../../store/database.ts";

/** What is kept in a database; each part is absent where the settings do not ask for it. */
export interface Records {
  readonly store?: Store | undefined;
  /** Of the database: it may come later than the server. */
  readonly arrival?: Arrival | undefined;
  /** Whether keys can be checked; absent without access control. */
  readonly ready?: () => boolean;
  readonly access?: AccessControl;
  readonly administration?: Administration;
  readonly completions?: CompletionCache | undefined;
  readonly logWriter?: LogWriter | undefined;
  /** Absent without a Redis that replicas share. */
  readonly redisReady?: (() => boolean) | undefined;
  /** Puts the layers that are wanted around a data plane. */
  readonly around: (plane: DataPlane) => DataPlane;
}

/**
 * What `openRecords` opens. The schema of the database is brought up to date, as soon as it can be reached.
 * @throws the database's error when it answers and cannot be used.
 */
export async function openKept(
  settings: ServerSettings,
  env: Environment,
  log: Log,
  opened: AsyncDisposableStack,
  withDatabase: boolean,
): Promise<Records> {
  const store = withDatabase
    ? opened.use(await openStore(settings.auth.database_url, process.cwd()))
    : undefined;
  const arrival = store && opened.use(new Arrival(awaitedOf(settings, store), log));
  await arrival?.first(() => migrate(store!, log));
  const redis = redisOf(settings, log, opened);
  const completions = completionsOf(settings, store, redis, log);
  const logWriter =
    store && settings.inference_log.enabled ? opened.use(writerOf(settings, store, log)) : undefined;
  const redisReady = redis && (() => redis.status === "ready");
  const shared = { store, arrival, completions, logWriter, redisReady };
  if (store === undefined || arrival === undefined || !settings.auth.enabled)
    return { ...shared, around: layersOf(settings, logWriter) };
  const keys = await openAccess(settings, env, { store, arrival, redis }, log, opened);
  return { ...shared, ...keys, around: layersOf(settings, logWriter, keys.limited) };
}

async function migrate(store: Store, log: Log): Promise<void> {
  for (const { name } of await store.migrate())
    log.info({ database: store.address, name }, "schema migrated");
}

function awaitedOf({ auth }: ServerSettings, { address }: Store): Awaited {
  const withKeys = "no key can be checked, and this server is not ready";
  const withoutKeys =
    "what was decided about models counts as it was read last, and what is to be kept waits";
  return { database: address, meanwhile: auth.enabled ? withKeys : withoutKeys };
}

/** From the inside: what callers may do, and around it what is written down, refusals as well. */
function layersOf(
  { inference_log }: ServerSettings,
  writer: LogWriter | undefined,
  limited: (plane: DataPlane) => DataPlane = (plane) => plane,
) {
  if (writer === undefined) return limited;
  return (plane: DataPlane): DataPlane => new LogPlane(limited(plane), writer, inference_log.bodies);
}

function writerOf({ inference_log, cache_dir }: ServerSettings, store: Store, log: Log): LogWriter {
  const name = createHash("sha256").update(store.address).digest("hex").slice(0, 16);
  const spool = new Spool(join(cache_dir, "inference-log", name));
  return new LogWriter(store, spool, inference_log.retention, log);
}

/** @throws SettingsError when answers are to be kept in Redis and there is none. */
function completionsOf(
  { completion_cache: wanted }: ServerSettings,
  store: Store | undefined,
  redis: Redis | undefined,
  log: Log,
): CompletionCache | undefined {
  if (wanted === null) return undefined;
  if (wanted.store === "redis" && redis === undefined)
    throw refused("settings.json", "completion_cache.store", "needs redis_url");
  const kept = wanted.store === "sql" ? sqlStore(store!.database) : undefined;
  const inRedis = wanted.store === "redis" ? redisStore(redis!) : undefined;
  const { ttl: ttlMs, scope, max_bytes } = wanted;
  return new CompletionCache({ store: kept ?? inRedis ?? memoryStore(max_bytes), ttlMs, scope, log });
}

async function openAccess(
  settings: ServerSettings,
  env: Environment,
  {
    store,
    arrival,
    redis,
  }: { readonly store: Store; readonly arrival: Arrival; readonly redis: Redis | undefined },
  log: Log,
  opened: AsyncDisposableStack,
) {
  const records = new AccessRecords(store.database);
  const seed = checkedSeed(env.CAPSTAN_ADMIN_KEY);
  if (seed !== undefined) await arrival.first(() => seedAdmin(records, seed, log));
  const ready = () => arrival.isHere;
  const access = opened.use(new AccessControl(records, openRoutes(settings), log, ready));
  const usage = opened.use(new Usage(store.database, log));
  const rates = new Rates(redis, settings.on_redis_down);
  const quotas = opened.use(new Quotas(store.database, log));
  const limits = new Limits(
    rates,
    quotas,
    opened.use(new Places(redis, settings.on_redis_down)),
    access.refusals,
  );
  const { authenticator, refusals } = access;
  const refresh = () => access.refresh();
  const news = redis && opened.use(new KeyNews(redis, listenerOf(settings.redis_url!), refresh));
  const changed = () => {
    refresh();
    news?.tell();
  };
  return {
    access,
    ready,
    administration: administration(records, usage, changed),
    limited: (plane: DataPlane): DataPlane =>
      new AccessPlane(plane, { authenticator, limits, usage, refusals }),
  };
}

/** A Redis that is away, or hangs, must hold up no request for long. */
const REDIS_OPTIONS = {
  maxRetriesPerRequest: 1,
  enableOfflineQueue: false,
  connectTimeout: 2000,
  commandTimeout: 2000,
  // Before the command's: whoever comes next then finds it down, and does not wait.
  socketTimeout: 1500,
};

/** Waits for messages for as long as it takes, and connects again for as long as it takes. */
function listenerOf(redisUrl: string): Redis {
  return new Redis(redisUrl, { maxRetriesPerRequest: null });
}

/** Replicas share their limits through it. */
function redisOf({ redis_url }: ServerSettings, log: Log, opened: AsyncDisposableStack): Redis | undefined {
  if (redis_url === null) return undefined;
  const redis = new Redis(redis_url, REDIS_OPTIONS);
  let isDown = false;
  redis.on("error", (err) => {
    if (!isDown) log.error({ err }, "Redis does not answer: limits follow on_redis_down");
    isDown = true;
  });
  redis.on("ready", () => {
    isDown = false;
  });
  opened.defer(() => redis.disconnect());
  return redis;
}

/** The probes of gRPC are as open as those of HTTP. */
function openRoutes({ auth, metrics_endpoint }: ServerSettings): string[] {
  const metrics = metrics_endpoint === null ? [] : [metrics_endpoint];
  return [...(auth.open ?? [...OPEN_ROUTES, ...metrics]), ...OPEN_CALLS];
}

const OPEN_CALLS = [
  "/inference.GRPCInferenceService/ServerLive",
  "/inference.GRPCInferenceService/ServerReady",
  "/inference.GRPCInferenceService/ServerMetadata",
  "/grpc.health.v1.Health/Check",
  "/grpc.health.v1.Health/List",
];

const SHORTEST_SEED = 16;

/** @throws SettingsError for a key that cannot be an administrator's. */
async function seedAdmin(records: AccessRecords, seed: string, log: Log): Promise<void> {
  const { id, revokedAt } = await records.seedAdmin(seed).catch((error: unknown) => {
    throw isInvalid(error) ? refused("CAPSTAN_ADMIN_KEY", "", error.message) : error;
  });
  if (revokedAt !== null)
    log.warn(
      { key: id },
      "CAPSTAN_ADMIN_KEY opens nothing: its key is revoked. Make another: capstan keys create",
    );
}

const isInvalid = (error: unknown): error is CapstanError =>
  error instanceof CapstanError && error.code === "INVALID_ARGUMENT";

function checkedSeed(key: string | undefined): string | undefined {
  if (!key) return undefined;
  if (key.length >= SHORTEST_SEED) return key;
  throw refused(
    "CAPSTAN_ADMIN_KEY",
    "",
    `must have at least ${SHORTEST_SEED} characters: it opens everything`,
  );
}

function refused(file: string, key: string, message: string): SettingsError {
  const problem: Problem = { file, key, message, severity: "error" };
  return new SettingsError([problem]);
}
