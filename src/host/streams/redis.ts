import type { Redis } from "ioredis";
import { CapstanError, type Log } from "../../contracts/index.ts";
import { SettingsError } from "../../settings/problems.ts";

const CONNECT_MS = 2000;
const COMMAND_MS = 2000;
const LONGEST_RETRY_MS = 2000;
const RETRY_STEP_MS = 100;

/** A server of Redis, and what its absence means to callers. */
export interface RedisConnection extends AsyncDisposable {
  readonly redis: Redis;
  /**
   * Runs commands.
   * @param what cannot be had without them, for the message.
   * @throws CapstanError NOT_READY when Redis does not answer.
   */
  run<T>(what: string, commands: (redis: Redis) => Promise<T>): Promise<T>;
}

/**
 * Connects in the background, again and again: a server starts, and works as far as it can, without Redis.
 * @param url `redis://` or `rediss://`; a password in it is not logged.
 * @throws CapstanError INVALID_ARGUMENT for another url.
 */
export async function connectRedis(url: string, log: Log): Promise<RedisConnection> {
  const where = placeOf(url);
  const { Redis } = await import("ioredis");
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
    // Commands fail at once while there is no connection, and are not kept for later.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * RETRY_STEP_MS, LONGEST_RETRY_MS),
  });
  reportState(redis, where, log);
  await redis.connect().catch(() => {});
  return {
    redis,
    run: (what, commands) => commands(redis).catch((cause) => Promise.reject(away(where, what, cause))),
    [Symbol.asyncDispose]: async () => redis.disconnect(),
  };
}

/** Says once that Redis is away, and once that it is back. */
function reportState(redis: Redis, where: string, log: Log): void {
  let reported = false;
  redis.on("error", (error: Error) => {
    if (!reported) log.warn({ redis: where, reason: error.message }, "Redis does not answer");
    reported = true;
  });
  redis.on("ready", () => {
    if (reported) log.info({ redis: where }, "Redis answers again");
    reported = false;
  });
}

function away(where: string, what: string, cause: unknown): CapstanError {
  return new CapstanError("NOT_READY", `Redis at ${where} does not answer, and ${what} needs it`, { cause });
}

function placeOf(url: string): string {
  const { protocol, host } = URL.parse(url) ?? { protocol: "", host: "" };
  if (protocol === "redis:" || protocol === "rediss:") return host || "localhost";
  const message = "must be redis://host:port, or rediss://host:port, here and in REDIS_URL";
  throw new SettingsError([{ file: "redis_url", key: "", message, severity: "error" }]);
}
