import { Option } from "commander";
import { loadServerSettings } from "../settings/load-server.ts";
import { openStore, type Store } from "../store/database.ts";

export const DATABASE_OPTION = new Option(
  "--database <url>",
  "default: DATABASE_URL, or auth.database_url of the settings",
);

/** The database of a server, its schema up to date: the one `start` would use here, unless a url is given. */
export async function openDatabase(url: string | undefined): Promise<Store> {
  const cwd = process.cwd();
  const { settings } = await loadServerSettings({ cwd, env: process.env, flags: {} });
  const store = await openStore(url ?? settings.auth.database_url, cwd);
  return store;
}

/** Does something with keys and roles. */
export async function withRecords<T>(
  url: string | undefined,
  use: (records: import("../access/records.ts").AccessRecords, store: Store) => Promise<T>,
): Promise<T> {
  const { AccessRecords } = await import("../access/records.ts");
  await using store = await openDatabase(url);
  await store.migrate();
  return await use(new AccessRecords(store.database), store);
}

/** Columns as wide as their longest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
