import type { KeyRecord } from "../access/records.ts";
import type { Role } from "../access/role.ts";
import type { UsageRow } from "../access/usage.ts";
import { table } from "./database.ts";

/** A key, what its role allows, and what it used, by month and model. */
export interface Inspection extends KeyRecord {
  readonly limits: Role | undefined;
  readonly usage: readonly UsageRow[];
}

const LIMITS = {
  requestsPerMinute: "requests a minute",
  tokensPerMinute: "tokens a minute",
  concurrency: "requests at once",
  requestsPerMonth: "requests a month",
  tokensPerMonth: "tokens a month",
  maxTokens: "tokens a request",
} as const;

/** For a person: a line for each thing. */
export function shownInspection(key: Inspection): string {
  const { limits, usage } = key;
  const lines = [
    ["key", key.id],
    ["name", key.name ?? "-"],
    ["role", key.role + (limits?.admin ? " (administrator)" : "")],
    ["models", limits?.models.join(", ") || "none"],
    ...Object.entries(LIMITS).map(([field, label]) => [
      label,
      shownLimit(limits, field as keyof typeof LIMITS),
    ]),
    ["created", time(key.createdAt)],
    ["expires", time(key.expiresAt)],
    ["revoked", time(key.revokedAt)],
    ["rotated from", key.rotatedFrom ?? "-"],
    ...usage.map((row) => [`used ${row.month}`, usedOf(row)]),
  ];
  return table(lines);
}

const shownLimit = (limits: Role | undefined, field: keyof typeof LIMITS) =>
  String(limits?.[field] ?? "no limit");

const usedOf = ({ model, requests, input_tokens, output_tokens }: UsageRow) =>
  `${model}: ${requests} requests, ${input_tokens} tokens in, ${output_tokens} out`;

/** To the second; "-" where there is none. */
export const time = (at: number | null) => (at === null ? "-" : new Date(at).toISOString().slice(0, 19));
