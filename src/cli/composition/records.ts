import { AccessControl, OPEN_ROUTES } from "../../access/control.ts";
import { AccessRecords } from "../../access/records.ts";
import type { Log } from "../../contracts/index.ts";
import type { Environment } from "../../settings/interpolate.ts";
import { type Problem, SettingsError } from "../../settings/problems.ts";
import type { ServerSettings } from "../../settings/server.ts";
import { openStore, type Store } from "../../store/database.ts";

/** What is kept in a database; each part is absent where the settings do not ask for it. */
export interface Records {
  readonly store?: Store;
  readonly access?: AccessControl;
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
  return { store, access };
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
