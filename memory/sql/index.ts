import { z } from "zod";
import { defineMemory } from "../../src/contracts/index.ts";
import { databaseAddress } from "./address.ts";
import { SqlMemory } from "./store.ts";

const URL_TEXT = "must be sqlite:path or postgres://user:password@host/name";

const options = z.strictObject({
  /** In the spellings of `DATABASE_URL`; a relative path of SQLite starts where the server was started. */
  url: z.string(URL_TEXT).refine((url) => databaseAddress(url) !== undefined, URL_TEXT),
});

/**
 * Conversations in a database: a SQLite file for one server, Postgres for several. The table is made at first use, so
 * that a server starts while its database is away; what is asked of the store then fails with NOT_READY.
 */
export default defineMemory({
  name: "sql",
  options,
  open: async ({ url }) => new SqlMemory(databaseAddress(url)!),
});
