import ms from "ms";
import { z } from "zod";
import { defineMemory } from "../../src/contracts/index.ts";
import { RedisConnection } from "./connection.ts";
import { RedisMemory } from "./store.ts";

const URL_TEXT = "must be redis://host:port/db, or rediss:// for TLS";
const TTL_TEXT = 'must be a time with its unit, such as "30m", "12h" or "7d"';

const options = z.strictObject({
  url: z.string(URL_TEXT).refine(isRedisUrl, URL_TEXT),
  /** A session nobody wrote or read for this long is forgotten; absent: never. */
  ttl: z
    .string(TTL_TEXT)
    .refine((text) => text !== "" && (ms(text as ms.StringValue) ?? 0) > 0, TTL_TEXT)
    .optional(),
  /** What all keys begin with. */
  prefix: z
    .string()
    .regex(/^[^{}\s]+$/, "must have no braces and no spaces")
    .default("capstan:memory:"),
});

/**
 * Conversations in Redis, shared by the replicas of a server. Opening does not wait for Redis: while it is away, what is
 * asked of the store fails with NOT_READY.
 */
export default defineMemory({
  name: "redis",
  options,
  async open({ url, ttl, prefix }) {
    const ttlMs = ttl === undefined ? 0 : ms(ttl as ms.StringValue);
    return new RedisMemory(new RedisConnection(url), prefix, ttlMs);
  },
});

function isRedisUrl(text: string): boolean {
  return /^rediss?:$/.test(URL.parse(text)?.protocol ?? "");
}
