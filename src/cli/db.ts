import { Command } from "commander";
import { DATABASE_OPTION, openDatabase } from "./database.ts";

interface Flags {
  readonly database?: string;
  readonly down?: boolean;
}

/** `capstan db migrate|status`: the schema of the database. */
export function command(): Command {
  const db = new Command("db").description("The database of keys, usage and records");
  db.command("migrate")
    .description("Brings the schema up to date; a server does so by itself when it starts")
    .option("--down", "takes the newest migration back, and what it holds is gone")
    .addOption(DATABASE_OPTION)
    .exitOverride()
    .action(migrate);
  db.command("status")
    .description("Which migrations are applied")
    .addOption(DATABASE_OPTION)
    .exitOverride()
    .action(status);
  return db;
}

async function migrate({ database, down }: Flags): Promise<void> {
  await using store = await openDatabase(database);
  const steps = down ? await store.revert() : await store.migrate();
  for (const { name, direction } of steps)
    console.log(`${direction === "Up" ? "applied" : "reverted"} ${name}`);
  if (steps.length === 0) console.log(`${store.address}: nothing to do`);
}

async function status({ database }: Flags): Promise<void> {
  await using store = await openDatabase(database);
  console.log(store.address);
  for (const { name, appliedAt } of await store.migrations()) {
    console.log(`${name}  ${appliedAt === undefined ? "not applied" : `applied ${appliedAt.toISOString()}`}`);
  }
}
