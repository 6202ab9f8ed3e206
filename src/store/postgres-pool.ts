import pg from "pg";

const CONNECT_MS = 5000;
const CONNECTIONS = 10;
/** BIGINT, which the driver gives as text: times and sums of tokens stay below 2^53. */
const INT8 = 20;

/** No statement of ours takes so long: whoever has not answered by then is gone without a word, as after a failover. */
const SILENT_MS = 60_000;

/**
 * Connections to a Postgres server, opened when they are needed.
 * @param silentMs one that was in use for so long is closed, and its query rejects.
 */
export function postgresPool(url: string, silentMs = SILENT_MS): pg.Pool {
  const types = {
    getTypeParser: (oid: number, format?: "text" | "binary") =>
      oid === INT8 ? Number : pg.types.getTypeParser(oid, format as "text"),
  };
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_MS,
    max: CONNECTIONS,
    types: types as pg.CustomTypesConfig,
  });
  // A connection that breaks is replaced, and its query rejects. Without listeners it would end the process: the pool
  // listens to a connection while it is idle, nobody to one that breaks in use.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  closeSilent(pool, silentMs);
  return pool;
}

/** The system itself gives up such a connection after a quarter of an hour; the pool has few of them. */
function closeSilent(pool: pg.Pool, silentMs: number): void {
  const timers = new WeakMap<pg.PoolClient, NodeJS.Timeout>();
  pool.on("acquire", (client) => {
    // With a query under way, `end` closes the socket at once.
    const close = () => void (client as unknown as pg.Client).end().catch(() => {});
    timers.set(client, setTimeout(close, silentMs).unref());
  });
  pool.on("release", (_error, client) => clearTimeout(timers.get(client)));
}
