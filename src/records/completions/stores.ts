import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { Part } from "../../contracts/index.ts";
import type { Database } from "../../store/tables.ts";

export interface KeptAnswer {
  readonly key: string;
  readonly model: string;
  readonly version: string;
  readonly parts: readonly Part[];
}

/** Where answers are kept until they are too old. */
export interface CompletionStore {
  get(key: string): Promise<readonly Part[] | undefined>;
  set(answer: KeptAnswer, ttlMs: number): Promise<void>;
  /** How many were removed; absent: of all models. */
  purge(model?: string): Promise<number>;
}

/** In this process; the least used go when there are too many bytes. */
export function memoryStore(maxBytes: number): CompletionStore {
  const answers = new LRUCache<string, KeptAnswer>({
    maxSize: maxBytes,
    sizeCalculation: ({ parts }) => JSON.stringify(parts).length,
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

/** In the database; what is too old goes when something is added. */
export function sqlStore(database: Database): CompletionStore {
  return {
    async get(key) {
      const query = database.selectFrom("completion_cache").select("answer").where("key", "=", key);
      const row = await query.where("expires_at", ">", Date.now()).executeTakeFirst();
      return row && (JSON.parse(row.answer) as Part[]);
    },
    async set({ key, model, version, parts }, ttl) {
      const now = Date.now();
      await database.deleteFrom("completion_cache").where("expires_at", "<=", now).execute();
      const row = {
        key,
        model,
        version,
        answer: JSON.stringify(parts),
        created_at: now,
        expires_at: now + ttl,
      };
      const { key: _, ...changes } = row;
      await database
        .insertInto("completion_cache")
        .values(row)
        .onConflict((conflict) => conflict.column("key").doUpdateSet(changes))
        .execute();
    },
    async purge(model) {
      let query = database.deleteFrom("completion_cache");
      if (model !== undefined) query = query.where("model", "=", model);
      return Number((await query.executeTakeFirstOrThrow()).numDeletedRows);
    },
  };
}

const PREFIX = "capstan:completion:";

/** In Redis, for all replicas. */
export function redisStore(redis: Redis): CompletionStore {
  const pointer = (key: string) => `${PREFIX}key:${key}`;
  return {
    async get(key) {
      const text = await redis.get(pointer(key));
      return text === null ? undefined : (JSON.parse(text) as KeptAnswer).parts;
    },
    async set(answer, ttl) {
      await redis.set(pointer(answer.key), JSON.stringify(answer), "PX", ttl);
    },
    async purge(model) {
      let removed = 0;
      for await (const keys of redis.scanStream({ match: `${PREFIX}key:*`, count: 500 }) as AsyncIterable<
        string[]
      >) {
        for (const key of keys) {
          const text = await redis.get(key);
          if (text === null || (model !== undefined && (JSON.parse(text) as KeptAnswer).model !== model))
            continue;
          removed += await redis.del(key);
        }
      }
      return removed;
    },
  };
}
