import { LRUCache } from "lru-cache";
import { CapstanError, invalid, type Principal } from "../contracts/index.ts";
import type { RoleTable } from "../store/tables.ts";
import { checkName } from "./names.ts";

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

/** Of the columns that hold them. */
const MOST = 2_147_483_647;

/** @throws CapstanError INVALID_ARGUMENT for a role that cannot be stored. */
export function checkRole(role: Role): void {
  checkName("name", role.name);
  for (const glob of role.models) checkName("models", glob);
  for (const name of ["requestsPerMinute", "concurrency", "maxTokens"] as const) {
    if ((role[name] ?? 0) <= MOST) continue;
    throw invalid(`'${name}' is ${role[name]}, and may be at most ${MOST}; leave it out for no limit`, {
      param: name,
    });
  }
}

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

/** @throws CapstanError PERMISSION_DENIED for a model that a key's role does not have. */
export function checkModel(key: Pick<Principal, "id">, role: Role, model: string): void {
  if (allowsModel(role, model)) return;
  const have = role.models.join(", ") || "none";
  const message = `Key '${key.id}' may not use model '${model}': its role '${role.name}' has ${have}`;
  throw new CapstanError("PERMISSION_DENIED", message, { param: "model" });
}

/** Every request asks for them. */
const PATTERNS = new LRUCache<string, RegExp>({ max: 1000 });

function patternOf(glob: string): RegExp {
  const known = PATTERNS.get(glob);
  if (known !== undefined) return known;
  const source = glob
    .split(/([*?])/)
    .map((part) => (part === "*" ? ".*" : part === "?" ? "." : RegExp.escape(part)));
  const pattern = new RegExp(`^${source.join("")}$`, "s");
  PATTERNS.set(glob, pattern);
  return pattern;
}
