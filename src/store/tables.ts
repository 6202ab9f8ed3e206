import type { Kysely } from "kysely";

/** Times are milliseconds since the epoch; Postgres gives BIGINT as text unless it is told otherwise. */
type Time = number;
/** SQLite has no truth values. */
type Truth = 0 | 1;

/** A tier: what its keys may do. Absent limits are none. */
export interface RoleTable {
  readonly name: string;
  /** JSON list of globs. */
  readonly models: string;
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly concurrency: number | null;
  readonly requests_per_month: number | null;
  readonly tokens_per_month: number | null;
  readonly max_tokens: number | null;
  readonly admin: Truth;
  readonly created_at: Time;
}

export interface ApiKeyTable {
  /** Stands in the key itself. */
  readonly id: string;
  readonly name: string | null;
  readonly role: string;
  /** SHA-256 of the whole key, in hexadecimal digits. */
  readonly hash: string;
  readonly created_at: Time;
  readonly expires_at: Time | null;
  readonly revoked_at: Time | null;
  /** The key this one took the place of. */
  readonly rotated_from: string | null;
}

/** What a key has used of its month, with what is reserved for requests under way. */
export interface QuotaTable {
  readonly key_id: string;
  /** Such as 2026-11, in UTC. */
  readonly month: string;
  readonly requests: number;
  readonly tokens: number;
}

export interface UsageTable {
  readonly key_id: string;
  readonly month: string;
  readonly model: string;
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
}

/** One request to a model. */
export interface InferenceLogTable {
  /** Random: a row that is written twice is one row. */
  readonly id: string;
  readonly at: Time;
  readonly request_id: string;
  readonly trace_id: string | null;
  readonly key_id: string | null;
  readonly model: string;
  readonly version: string | null;
  readonly session: string | null;
  /** Such as `chat`, `infer`, `embed`. */
  readonly operation: string;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly latency_ms: number;
  readonly first_token_ms: number | null;
  /** `ok`, `error` or `cancelled`. */
  readonly status: string;
  readonly finish: string | null;
  readonly cached: Truth;
  readonly error_code: string | null;
  readonly request_body: string | null;
  readonly response_body: string | null;
}

export interface CompletionCacheTable {
  readonly key: string;
  readonly model: string;
  readonly version: string;
  /** The parts of the answer, as JSON. */
  readonly answer: string;
  readonly created_at: Time;
  readonly expires_at: Time;
}

/** What a person decided about a model: unloaded, pinned or rolled back. */
export interface DesiredStateTable {
  readonly model: string;
  /** JSON. */
  readonly state: string;
  readonly changed_at: Time;
}

export interface Tables {
  readonly roles: RoleTable;
  readonly api_keys: ApiKeyTable;
  readonly quotas: QuotaTable;
  readonly usage: UsageTable;
  readonly inference_log: InferenceLogTable;
  readonly completion_cache: CompletionCacheTable;
  readonly desired_state: DesiredStateTable;
}

export type Database = Kysely<Tables>;
