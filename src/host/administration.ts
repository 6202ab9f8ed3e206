/** A key as it may be shown. */
export interface KeyView {
  readonly id: string;
  readonly name: string | null;
  readonly role: string;
  /** Milliseconds since the epoch; null where there is none. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly rotatedFrom: string | null;
}

/** A tier and what its keys may do; a limit that is null is none. */
export interface RoleView {
  readonly name: string;
  readonly models: readonly string[];
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly concurrency: number | null;
  readonly requestsPerMonth: number | null;
  readonly tokensPerMonth: number | null;
  readonly maxTokens: number | null;
  readonly admin: boolean;
}

export interface UsageView {
  readonly key_id: string;
  readonly month: string;
  readonly model: string;
  readonly requests: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
}

/** Keys, roles and usage, as the routes of administrators ask for them. */
export interface Administration {
  keys(): Promise<readonly KeyView[]>;
  /** @throws CapstanError NOT_FOUND */
  key(id: string): Promise<KeyView>;
  createKey(
    role: string,
    options: { readonly name?: string | null; readonly expiresAt?: number | null },
  ): Promise<KeyView & { readonly key: string }>;
  rotate(id: string, overlapMs: number): Promise<KeyView & { readonly key: string }>;
  revoke(id: string): Promise<void>;
  roles(): Promise<readonly RoleView[]>;
  setRole(role: RoleView): Promise<void>;
  usage(of: {
    readonly month?: string;
    readonly key?: string;
    readonly model?: string;
  }): Promise<readonly UsageView[]>;
}

/** Of a row of the inference log, in the order of a table. */
export const LOG_COLUMNS = [
  ...(["id", "at", "request_id", "trace_id", "key_id", "model", "version", "session", "operation"] as const),
  ...(["input_tokens", "output_tokens", "latency_ms", "first_token_ms", "status", "finish"] as const),
  ...(["cached", "error_code", "request_body", "response_body"] as const),
] as const;

/** Which rows of the inference log are wanted. */
export interface LogFilter {
  readonly limit?: number;
  /** Milliseconds since the epoch, or the id of the row that the wanted ones are older than. */
  readonly before?: number | string;
  readonly key?: string;
  readonly model?: string;
}

/** What is written down, as the routes of administrators ask for it; what is not kept is absent. */
export interface RecordsControl {
  /** Resolves to how many answers were removed. */
  purgeCompletions?(model?: string): Promise<number>;
  /** The newest first. */
  log?(of: LogFilter): Promise<readonly object[]>;
}
