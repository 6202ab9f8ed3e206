import ms from "ms";
import { z } from "zod";
import { defineMemory } from "../../src/contracts/index.ts";
import { databaseAddress } from "./address.ts";
import { SqlMemory } from "./store.ts";

const URL_TEXT = "must be sqlite:path or postgres://user:password@host/name";
const TTL_TEXT = 'must be a time with its unit, such as "30m", "12h" or "7d"';

const options = z.strictObject({
  /** In the spellings of `DATABASE_URL`; a relative path of SQLite starts where the server was started. */
  url: z.string(URL_TEXT).refine((url) => databaseAddress(url) !== undefined, URL_TEXT),
  /** A session nobody wrote or read for this long is forgotten; absent: never. */
  ttl: z
    .string(TTL_TEXT)
    .refine((text) => text !== "" && (ms(text as ms.StringValue) ?? 0) > 0, TTL_TEXT)
    .optional(),
});

/**
 * Conversations in a database: a SQLite file for one server, Postgres for several. The table is made at first use, so
 * that a server starts while its database is away; what is asked of the store then fails with NOT_READY.
 */
export default defineMemory({
  name: "sql",
  options,
  async open({ url, ttl }) {
    return new SqlMemory(databaseAddress(url)!, ttl === undefined ? undefined : ms(ttl as ms.StringValue));
  },
});
