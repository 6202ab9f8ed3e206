import { Command, InvalidArgumentError } from "commander";
import type { Role } from "../access/role.ts";
import { DATABASE_OPTION, table, withRecords } from "./database.ts";

interface Flags {
  readonly database?: string;
  readonly models?: string;
  readonly rpm?: number;
  readonly tpm?: number;
  readonly concurrency?: number;
  readonly requestsPerMonth?: number;
  readonly tokensPerMonth?: number;
  readonly maxTokens?: number;
  readonly admin?: boolean;
  readonly json?: boolean;
}

/** `capstan roles set|list`: tiers, and what the keys of each may do. */
export function command(): Command {
  const roles = new Command("roles").description("Tiers, and what the keys of each may do");
  roles
    .command("set")
    .description("Makes a role, or replaces the one of that name; a limit that is not given is none")
    .argument("<name>", "the role")
    .option("--models <globs>", "models it may use, such as iris,tiny-*; default: all")
    .option("--rpm <n>", "requests a minute", count)
    .option("--tpm <n>", "tokens a minute", count)
    .option("--concurrency <n>", "requests under way at once", count)
    .option("--requests-per-month <n>", "requests a month", count)
    .option("--tokens-per-month <n>", "tokens a month", count)
    .option("--max-tokens <n>", "tokens one request may have written", count)
    .option("--admin", "may change what is served, and see what is others'")
    .addOption(DATABASE_OPTION)
    .exitOverride()
    .action(set);
  roles
    .command("list")
    .description("Every role with its limits")
    .option("--json", "as JSON")
    .addOption(DATABASE_OPTION)
    .exitOverride()
    .action(list);
  return roles;
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("It must be a whole number, 0 or more.");
}

async function set(name: string, flags: Flags): Promise<void> {
  const role: Role = {
    name,
    models: flags.models?.split(",").map((glob) => glob.trim()) ?? ["*"],
    requestsPerMinute: flags.rpm ?? null,
    tokensPerMinute: flags.tpm ?? null,
    concurrency: flags.concurrency ?? null,
    requestsPerMonth: flags.requestsPerMonth ?? null,
    tokensPerMonth: flags.tokensPerMonth ?? null,
    maxTokens: flags.maxTokens ?? null,
    admin: flags.admin ?? false,
  };
  await withRecords(flags.database, (records) => records.setRole(role));
  console.log(shown([role]));
}

async function list({ database, json }: Flags): Promise<void> {
  const roles = await withRecords(database, (records) => records.roles());
  console.log(json ? JSON.stringify(roles, null, 2) : shown(roles));
}

function shown(roles: readonly Role[]): string {
  const limit = (value: number | null) => (value === null ? "-" : String(value));
  const header = [
    "ROLE",
    "MODELS",
    "RPM",
    "TPM",
    "AT ONCE",
    "REQUESTS/MONTH",
    "TOKENS/MONTH",
    "MAX TOKENS",
    "ADMIN",
  ];
  const rows = roles.map((role) => [
    ...[role.name, role.models.join(","), limit(role.requestsPerMinute), limit(role.tokensPerMinute)],
    ...[
      limit(role.concurrency),
      limit(role.requestsPerMonth),
      limit(role.tokensPerMonth),
      limit(role.maxTokens),
    ],
    role.admin ? "yes" : "",
  ]);
  return table([header, ...rows]);
}
