import { isAbsolute, resolve } from "node:path";
import { SettingsError } from "../settings/problems.ts";

/** Where the records are. */
export type Address =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

const SQLITE = /^sqlite(\+\w+)?:(\/\/\/?)?/i;
const POSTGRES = /^postgres(ql)?(\+\w+)?:\/\//i;

/**
 * A database's address, in the spellings of SQLAlchemy as well: `sqlite:path`, `sqlite+aiosqlite:///path`,
 * `postgresql+asyncpg://...`. After three slashes a SQLite path is relative, after four it is absolute.
 * @param folder where relative paths start.
 * @throws SettingsError saying what is possible; the address itself, which may hold a password, is not in it.
 */
export function databaseAddress(url: string, folder: string): Address {
  const postgres = POSTGRES.test(url) ? url.replace(POSTGRES, "postgres://") : undefined;
  if (postgres !== undefined && URL.canParse(postgres)) return { kind: "postgres", url: postgres };
  const scheme = SQLITE.exec(url);
  if (scheme === null) {
    const message = `must be sqlite:path or postgres://user:password@host/name, here and in DATABASE_URL`;
    throw new SettingsError([{ file: "auth.database_url", key: "", message, severity: "error" }]);
  }
  const path = url.slice(scheme[0].length);
  if (path === "" || path === ":memory:") return { kind: "sqlite", path: ":memory:" };
  return { kind: "sqlite", path: isAbsolute(path) ? path : resolve(folder, path) };
}

/** The address as it may stand in a log. */
export function shownAddress(address: Address): string {
  if (address.kind === "sqlite") return `sqlite:${address.path}`;
  const url = new URL(address.url);
  return `postgres://${url.host}${url.pathname}`;
}
