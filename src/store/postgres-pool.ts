import pg from "pg";

const CONNECT_MS = 5000;
const CONNECTIONS = 10;
/** BIGINT, which the driver gives as text: times and sums of tokens stay below 2^53. */
const INT8 = 20;

/** Connections to a Postgres server, opened when they are needed. */
export function postgresPool(url: string): pg.Pool {
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
  return pool;
}
