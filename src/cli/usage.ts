import { Command, InvalidArgumentError } from "commander";
import { usageCsv } from "../http/admin/routes.ts";
import { DATABASE_OPTION, openDatabase, table } from "./database.ts";

interface Flags {
  readonly database?: string;
  readonly month?: string;
  readonly csv?: boolean;
}

/** `capstan usage`: what each key used, by month and model. */
export function command(): Command {
  return new Command("usage")
    .description("What each key used, by month and model")
    .option("--month <month>", "such as 2026-11; default: all", monthOf)
    .option("--csv", "as CSV")
    .addOption(DATABASE_OPTION)
    .action(usage);
}

function monthOf(text: string): string {
  if (/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) return text;
  throw new InvalidArgumentError("It must be a year and a month, such as 2026-11.");
}

async function usage({ database, month, csv }: Flags): Promise<void> {
  await using store = await openDatabase(database);
  await store.migrate();
  let query = store.database
    .selectFrom("usage")
    .selectAll()
    .orderBy("month")
    .orderBy("key_id")
    .orderBy("model");
  if (month !== undefined) query = query.where("month", "=", month);
  const rows = await query.execute();
  if (csv) process.stdout.write(usageCsv(rows));
  else console.log(table([HEADER, ...rows.map((row) => FIELDS.map((field) => String(row[field])))]));
}

const HEADER = ["MONTH", "KEY", "MODEL", "REQUESTS", "TOKENS IN", "TOKENS OUT"];
const FIELDS = ["month", "key_id", "model", "requests", "input_tokens", "output_tokens"] as const;
