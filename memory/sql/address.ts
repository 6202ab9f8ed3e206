import { resolve } from "node:path";

export type Address =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

const SQLITE = /^sqlite(\+\w+)?:(\/\/\/?)?/i;
const POSTGRES = /^postgres(ql)?(\+\w+)?:\/\//i;

/**
 * A database's address, in the spellings of SQLAlchemy as well: `sqlite:path`, `sqlite+aiosqlite:///path`,
 * `postgresql+asyncpg://...`. After three slashes a SQLite path is relative, after four it is absolute.
 * Undefined for what is none.
 */
export function databaseAddress(url: string): Address | undefined {
  if (POSTGRES.test(url)) return postgresAddress(url.replace(POSTGRES, "postgres://"));
  const scheme = SQLITE.exec(url);
  if (scheme === null) return undefined;
  const path = url.slice(scheme[0].length);
  return { kind: "sqlite", path: path === "" || path === ":memory:" ? ":memory:" : resolve(path) };
}

function postgresAddress(url: string): Address | undefined {
  return URL.canParse(url) ? { kind: "postgres", url } : undefined;
}

/** The address as it may stand in a message: without user, password and options. */
export function shownAddress(address: Address): string {
  if (address.kind === "sqlite") return `SQLite at ${address.path}`;
  const { host, pathname } = new URL(address.url);
  return `Postgres at ${host}${pathname}`;
}
