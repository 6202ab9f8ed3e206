import { Redis } from "ioredis";
import { administration } from "../../access/administration.ts";
import { AccessControl, OPEN_ROUTES } from "../../access/control.ts";
import { Limits } from "../../access/limits/limits.ts";
import { Quotas } from "../../access/limits/quotas.ts";
import { Rates } from "../../access/limits/rates.ts";
import { AccessPlane } from "../../access/plane.ts";
import { AccessRecords } from "../../access/records.ts";
import { Usage } from "../../access/usage.ts";
import type { Log } from "../../contracts/index.ts";
import type { Administration } from "../../host/administration.ts";
import type { DataPlane } from "../../host/types.ts";
import type { Environment } from "../../settings/interpolate.ts";
import { type Problem, SettingsError } from "../../settings/problems.ts";
import type { ServerSettings } from "../../settings/server.ts";
import { openStore, type Store } from "../../store/database.ts";

/** What is kept in a database; each part is absent where the settings do not ask for it. */
export interface Records {
  readonly store?: Store;
  readonly access?: AccessControl;
  readonly administration?: Administration;
  /** Puts what keys may do in front of a data plane. */
  readonly limited?: (plane: DataPlane) => DataPlane;
}

/**
 * Opens the database when something needs one, and brings its schema up to date.
 * @param opened closes what is opened here.
 * @throws Error when the database cannot be opened: a server that was asked for access control does not run open.
 */
export async function openRecords(
  settings: ServerSettings,
  env: Environment,
  log: Log,
  opened: AsyncDisposableStack,
): Promise<Records> {
  if (!needsDatabase(settings)) return {};
  const store = opened.use(await openStore(settings.auth.database_url, process.cwd()));
  for (const { name } of await store.migrate())
    log.info({ database: store.address, name }, "schema migrated");
  if (!settings.auth.enabled) return { store };
  const records = new AccessRecords(store.database);
  const seed = env.CAPSTAN_ADMIN_KEY;
  if (seed) await records.seedAdmin(checkedSeed(seed));
  const access = opened.use(new AccessControl(records, openRoutes(settings), log));
  const usage = opened.use(new Usage(store.database, log));
  const rates = new Rates(redisOf(settings, log, opened), settings.on_redis_down);
  const limits = new Limits(rates, new Quotas(store.database, log));
  const { authenticator } = access;
  return {
    store,
    access,
    administration: administration(records, authenticator, usage),
    limited: (plane) => new AccessPlane(plane, { authenticator, limits, usage }),
  };
}

/** Replicas share their limits through it. */
function redisOf({ redis_url }: ServerSettings, log: Log, opened: AsyncDisposableStack): Redis | undefined {
  if (redis_url === null) return undefined;
  const redis = new Redis(redis_url, { maxRetriesPerRequest: 1, enableOfflineQueue: false });
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

function needsDatabase({ auth, inference_log, completion_cache }: ServerSettings): boolean {
  return auth.enabled || inference_log.enabled || completion_cache?.store === "sql";
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

function checkedSeed(key: string): string {
  if (key.length >= SHORTEST_SEED) return key;
  const message = `must have at least ${SHORTEST_SEED} characters: it opens everything`;
  const problem: Problem = { file: "CAPSTAN_ADMIN_KEY", key: "", message, severity: "error" };
  throw new SettingsError([problem]);
}
