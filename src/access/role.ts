import type { RoleTable } from "../store/tables.ts";

/** A tier: what the keys of this name may do. A limit that is null is none. */
export interface Role {
  readonly name: string;
  /** Globs of model names. */
  readonly models: readonly string[];
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly concurrency: number | null;
  readonly requestsPerMonth: number | null;
  readonly tokensPerMonth: number | null;
  /** Most tokens one request may ask for. */
  readonly maxTokens: number | null;
  readonly admin: boolean;
}

export const UNLIMITED: Omit<Role, "name" | "admin"> = {
  models: ["*"],
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrency: null,
  requestsPerMonth: null,
  tokensPerMonth: null,
  maxTokens: null,
};

export function roleOf(row: RoleTable): Role {
  return {
    name: row.name,
    models: JSON.parse(row.models) as string[],
    requestsPerMinute: row.rpm,
    tokensPerMinute: row.tpm,
    concurrency: row.concurrency,
    requestsPerMonth: row.requests_per_month,
    tokensPerMonth: row.tokens_per_month,
    maxTokens: row.max_tokens,
    admin: row.admin === 1,
  };
}

export function rowOf(role: Role, createdAt: number): RoleTable {
  return {
    name: role.name,
    models: JSON.stringify(role.models),
    rpm: role.requestsPerMinute,
    tpm: role.tokensPerMinute,
    concurrency: role.concurrency,
    requests_per_month: role.requestsPerMonth,
    tokens_per_month: role.tokensPerMonth,
    max_tokens: role.maxTokens,
    admin: role.admin ? 1 : 0,
    created_at: createdAt,
  };
}

/** Whether a role's globs have a model: `*` stands for any text, `?` for one character. */
export function allowsModel({ models }: Pick<Role, "models">, model: string): boolean {
  return models.some((glob) => patternOf(glob).test(model));
}

function patternOf(glob: string): RegExp {
  const source = glob
    .split(/([*?])/)
    .map((part) => (part === "*" ? ".*" : part === "?" ? "." : RegExp.escape(part)));
  return new RegExp(`^${source.join("")}$`, "s");
}
