import type { Kysely } from "kysely";

/** BIGINT holds milliseconds and sums of tokens in both databases. */
export async function up(database: Kysely<never>): Promise<void> {
  const { schema } = database;
  await schema
    .createTable("roles")
    .addColumn("name", "text", (column) => column.primaryKey())
    .addColumn("models", "text", (column) => column.notNull())
    .addColumn("rpm", "integer")
    .addColumn("tpm", "bigint")
    .addColumn("concurrency", "integer")
    .addColumn("requests_per_month", "bigint")
    .addColumn("tokens_per_month", "bigint")
    .addColumn("max_tokens", "integer")
    .addColumn("admin", "integer", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await schema
    .createTable("api_keys")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("name", "text")
    .addColumn("role", "text", (column) => column.notNull().references("roles.name"))
    .addColumn("hash", "text", (column) => column.notNull().unique())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint")
    .addColumn("revoked_at", "bigint")
    .addColumn("rotated_from", "text")
    .execute();
  await createCounts(database);
  await createRecords(database);
}

async function createCounts({ schema }: Kysely<never>): Promise<void> {
  await schema
    .createTable("quotas")
    .addColumn("key_id", "text", (column) => column.notNull())
    .addColumn("month", "text", (column) => column.notNull())
    .addColumn("requests", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("tokens", "bigint", (column) => column.notNull().defaultTo(0))
    .addPrimaryKeyConstraint("quotas_key", ["key_id", "month"])
    .execute();
  await schema
    .createTable("usage")
    .addColumn("key_id", "text", (column) => column.notNull())
    .addColumn("month", "text", (column) => column.notNull())
    .addColumn("model", "text", (column) => column.notNull())
    .addColumn("requests", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("input_tokens", "bigint", (column) => column.notNull().defaultTo(0))
    .addColumn("output_tokens", "bigint", (column) => column.notNull().defaultTo(0))
    .addPrimaryKeyConstraint("usage_key", ["key_id", "month", "model"])
    .execute();
}

async function createRecords({ schema }: Kysely<never>): Promise<void> {
  await schema
    .createTable("inference_log")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("at", "bigint", (column) => column.notNull())
    .addColumn("request_id", "text", (column) => column.notNull())
    .addColumn("trace_id", "text")
    .addColumn("key_id", "text")
    .addColumn("model", "text", (column) => column.notNull())
    .addColumn("version", "text")
    .addColumn("session", "text")
    .addColumn("operation", "text", (column) => column.notNull())
    .addColumn("input_tokens", "bigint")
    .addColumn("output_tokens", "bigint")
    .addColumn("latency_ms", "double precision", (column) => column.notNull())
    .addColumn("first_token_ms", "double precision")
    .addColumn("status", "text", (column) => column.notNull())
    .addColumn("finish", "text")
    .addColumn("cached", "integer", (column) => column.notNull().defaultTo(0))
    .addColumn("error_code", "text")
    .addColumn("request_body", "text")
    .addColumn("response_body", "text")
    .execute();
  await schema.createIndex("inference_log_at").on("inference_log").column("at").execute();
  await schema
    .createTable("completion_cache")
    .addColumn("key", "text", (column) => column.primaryKey())
    .addColumn("model", "text", (column) => column.notNull())
    .addColumn("version", "text", (column) => column.notNull())
    .addColumn("answer", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("expires_at", "bigint", (column) => column.notNull())
    .execute();
  await schema.createIndex("completion_cache_expires").on("completion_cache").column("expires_at").execute();
  await schema
    .createTable("desired_state")
    .addColumn("model", "text", (column) => column.primaryKey())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("changed_at", "bigint", (column) => column.notNull())
    .execute();
}

export async function down({ schema }: Kysely<never>): Promise<void> {
  const tables = [
    "desired_state",
    "completion_cache",
    "inference_log",
    "usage",
    "quotas",
    "api_keys",
    "roles",
  ];
  for (const table of tables) await schema.dropTable(table).execute();
}
