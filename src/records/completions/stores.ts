import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { Part } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";
import { partsOfText } from "./answer-text.ts";

export interface KeptAnswer {
  readonly key: string;
  readonly model: string;
  readonly version: string;
  readonly parts: readonly Part[];
}

/** Where answers are kept until they are too old. */
export interface CompletionStore {
  /** @throws UnreadableAnswer for what is kept there and is none; any other error says that the store is away. */
  get(key: string, model: string): Promise<readonly Part[] | undefined>;
  set(answer: KeptAnswer, ttlMs: number): Promise<void>;
  /** How many were removed; absent: of all models. */
  purge(model?: string): Promise<number>;
}

/** In this process; the least used go when there are too many bytes. */
export function memoryStore(maxBytes: number): CompletionStore {
  const answers = new LRUCache<string, KeptAnswer>({
    maxSize: maxBytes,
    sizeCalculation: ({ key, parts }) => key.length + Buffer.byteLength(JSON.stringify(parts)),
  });
  return {
    get: async (key) => answers.get(key)?.parts,
    async set(answer, ttl) {
      answers.set(answer.key, answer, { ttl });
    },
    async purge(model) {
      const gone = [...answers.entries()].filter(
        ([, answer]) => model === undefined || answer.model === model,
      );
      for (const [key] of gone) answers.delete(key);
      return gone.length;
    },
  };
}

const SWEEP_MS = 60 * 1000;

/** In the database; what is too old goes when something is added, at most once a minute. */
export function sqlStore(database: Database): CompletionStore {
  let swept = 0;
  const sweep = async (now: number) => {
    if (now - swept < SWEEP_MS) return;
    swept = now;
    await database.deleteFrom("completion_cache").where("expires_at", "<=", now).execute();
  };
  return {
    async get(key) {
      const query = database.selectFrom("completion_cache").select("answer").where("key", "=", key);
      const row = await query.where("expires_at", ">", Date.now()).executeTakeFirst();
      return row && partsOfText(row.answer);
    },
    async set({ key, model, version, parts }, ttl) {
      const now = Date.now();
      await sweep(now);
      const answer = JSON.stringify(parts);
      const row = { model, version, answer, created_at: now, expires_at: now + ttl };
      await database
        .insertInto("completion_cache")
        .values({ key, ...row })
        .onConflict((conflict) => conflict.column("key").doUpdateSet(row))
        .execute();
    },
    async purge(model) {
      let query = database.deleteFrom("completion_cache");
      if (model !== undefined) query = query.where("model", "=", model);
      return Number((await query.executeTakeFirstOrThrow()).numDeletedRows);
    },
  };
}

const KEYS_AT_ONCE = 500;

/** In Redis, for all replicas. A key names its model: one model's answers are found without reading any. */
export function redisStore(redis: Redis): CompletionStore {
  return {
    async get(key, model) {
      const text = await redis.get(placeOf(model) + key);
      return text === null ? undefined : partsOfText(text);
    },
    async set({ key, model, parts }, ttl) {
      await redis.set(placeOf(model) + key, JSON.stringify(parts), "PX", ttl);
    },
    async purge(model) {
      let removed = 0;
      const match = model === undefined ? `${PREFIX}*` : `${placeOf(model)}*`;
      const found = redis.scanStream({ match, count: KEYS_AT_ONCE }) as AsyncIterable<string[]>;
      for await (const keys of found) if (keys.length > 0) removed += await redis.del(...keys);
      return removed;
    },
  };
}

const PREFIX = "capstan:completion:";

/** No character of a model's name is one of a pattern. */
const placeOf = (model: string) => `${PREFIX}${encodeURIComponent(model).replaceAll("*", "%2A")}:`;
