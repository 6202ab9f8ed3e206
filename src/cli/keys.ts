import { Command, InvalidArgumentError, Option } from "commander";
import type { CreatedKey, KeyRecord } from "../access/records.ts";
import { age } from "../settings/fields.ts";
import { DATABASE_OPTION, table, withRecords } from "./database.ts";
import { type Inspection, shownInspection, time } from "./key-inspection.ts";

interface Flags {
  readonly database?: string;
  readonly role: string;
  readonly name?: string;
  readonly expires?: number;
  readonly overlap: number;
  readonly json?: boolean;
}

/** `capstan keys create|list|inspect|rotate|revoke`. */
export function command(): Command {
  const keys = new Command("keys").description("Keys of callers");
  const add = (name: string, description: string) =>
    keys
      .command(name)
      .description(description)
      .option("--json", "as JSON")
      .addOption(DATABASE_OPTION)
      .exitOverride();
  add("create", "Makes a key, and prints it for the only time")
    .requiredOption("--role <role>", "what it may do: see capstan roles")
    .option("--name <name>", "whose it is")
    .option("--expires <time>", "such as 30d; default: never", lifetime)
    .action(create);
  add("list", "Every key, without its secret").action(list);
  add("inspect", "A key, what its role allows, and what it used")
    .argument("<id>", "the key's id")
    .action(inspect);
  add("rotate", "Makes another key in the place of one, which goes on for a while")
    .argument("<id>", "the key's id")
    .addOption(
      new Option("--overlap <time>", "how long the old one goes on")
        .argParser(lifetime)
        .default(lifetime("1d"), "1d"),
    )
    .action(rotate);
  add("revoke", "Refuses a key from now on, on every replica within a second")
    .argument("<id>", "the key's id")
    .action(revoke);
  return keys;
}

function lifetime(text: string): number {
  const { data, error } = age().safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`It ${error?.issues[0]?.message}.`);
  return data;
}

async function create({ database, role, name, expires, json }: Flags): Promise<void> {
  const expiresAt = expires === undefined ? null : Date.now() + expires;
  const key = await withRecords(database, (records) =>
    records.createKey(role, { name: name ?? null, expiresAt }),
  );
  showSecret(key, json);
}

async function rotate(id: string, { database, overlap, json }: Flags): Promise<void> {
  const key = await withRecords(database, (records) => records.rotate(id, overlap));
  showSecret(key, json);
}

async function revoke(id: string, { database, json }: Flags): Promise<void> {
  await withRecords(database, (records) => records.revoke(id));
  console.log(json ? JSON.stringify({ id, revoked: true }) : `Key ${id} is revoked`);
}

async function list({ database, json }: Flags): Promise<void> {
  const keys = await withRecords(database, (records) => records.keys());
  console.log(json ? JSON.stringify(keys, null, 2) : shown(keys));
}

async function inspect(id: string, { database, json }: Flags): Promise<void> {
  const found = await withRecords(database, async (records, store): Promise<Inspection> => {
    const key = await records.key(id);
    const usage = store.database.selectFrom("usage").selectAll().where("key_id", "=", id);
    return {
      ...key,
      limits: await records.role(key.role),
      usage: await usage.orderBy("month").orderBy("model").execute(),
    };
  });
  console.log(json ? JSON.stringify(found, null, 2) : shownInspection(found));
}

/** What is for a person goes to stderr, so that `KEY=$(capstan keys create ...)` is the key. */
function showSecret(made: CreatedKey, json = false): void {
  console.log(json ? JSON.stringify(made) : made.key);
  if (json) return;
  console.error(`This is key ${made.id} of role ${made.role}. It is shown once, and cannot be had again.`);
}

function shown(keys: readonly KeyRecord[]): string {
  const header = ["ID", "NAME", "ROLE", "CREATED", "EXPIRES", "REVOKED"];
  const rows = keys.map(({ id, name, role, createdAt, expiresAt, revokedAt }) => [
    ...[id, name ?? "-", role],
    ...[time(createdAt), time(expiresAt), time(revokedAt)],
  ]);
  return table([header, ...rows]);
}
