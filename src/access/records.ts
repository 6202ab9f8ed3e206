import { CapstanError, invalid } from "../contracts/index.ts";
import type { ApiKeyTable, Database } from "../store/tables.ts";
import { hashOf, newKey, sameHash } from "./key.ts";
import { checkName, isName } from "./names.ts";
import { checkRole, type Role, roleOf, rowOf, UNLIMITED } from "./role.ts";

/** The last one that a Date can be, in milliseconds since the epoch. */
const LAST_TIME = 8.64e15;

/** A key as it may be shown: what was stored of it, without the hash. */
export interface KeyRecord {
  readonly id: string;
  readonly name: string | null;
  readonly role: string;
  readonly createdAt: number;
  /** Milliseconds since the epoch; null for ever. */
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly rotatedFrom: string | null;
}

export interface CreatedKey extends KeyRecord {
  /** Shown once, and stored nowhere. */
  readonly key: string;
}

export interface Grant {
  readonly key: KeyRecord;
  readonly role: Role;
}

/** Keys and roles in the database. */
export class AccessRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Makes a role, or changes the one of that name; its keys follow at once.
   * @throws CapstanError INVALID_ARGUMENT for limits that cannot be stored.
   */
  async setRole(role: Role): Promise<void> {
    checkRole(role);
    const row = rowOf(role, Date.now());
    const { created_at: _, name: __, ...changes } = row;
    await this.#database
      .insertInto("roles")
      .values(row)
      .onConflict((conflict) => conflict.column("name").doUpdateSet(changes))
      .execute();
  }

  async role(name: string): Promise<Role | undefined> {
    const row = await this.#database
      .selectFrom("roles")
      .selectAll()
      .where("name", "=", name)
      .executeTakeFirst();
    return row && roleOf(row);
  }

  async roles(): Promise<Role[]> {
    return (await this.#database.selectFrom("roles").selectAll().orderBy("name").execute()).map(roleOf);
  }

  /**
   * @param expiresAt milliseconds since the epoch; null for ever.
   * @throws CapstanError INVALID_ARGUMENT when there is no such role, or for what cannot be stored or shown.
   */
  async createKey(
    role: string,
    {
      name = null,
      expiresAt = null,
    }: { readonly name?: string | null; readonly expiresAt?: number | null } = {},
  ): Promise<CreatedKey> {
    checkName("role", role);
    if (name !== null) checkName("name", name);
    if ((expiresAt ?? 0) > LAST_TIME) throw invalid("'expires' is later than any date", { param: "expires" });
    await this.#requireRole(role);
    return insertKey(this.#database, { ...newKey(), role, name, expiresAt, rotatedFrom: null });
  }

  /**
   * A key that the operator chose, under the id `admin` unless it is one that is there. It stays revoked once it was.
   * @throws CapstanError INVALID_ARGUMENT for a key that has a role which is no administrator's.
   */
  async seedAdmin(key: string): Promise<KeyRecord> {
    await this.#seedRole();
    const known = (await this.grantOf(key)) ?? (await this.#seedKey(key));
    if (known.role.admin) return known.key;
    const { id, role } = known.key;
    throw invalid(
      `The administrator's key is key '${id}' of role '${role}', which is no administrator's: choose another`,
    );
  }

  async #seedRole(): Promise<void> {
    const admin = rowOf({ ...UNLIMITED, name: "admin", admin: true }, Date.now());
    await this.#database
      .insertInto("roles")
      .values(admin)
      .onConflict((conflict) => conflict.column("name").doUpdateSet({ admin: admin.admin }))
      .execute();
  }

  async #seedKey(key: string): Promise<Grant> {
    const row = keyRow({ id: "admin", hash: hashOf(key), role: "admin", name: "CAPSTAN_ADMIN_KEY" });
    const seeding = this.#database
      .insertInto("api_keys")
      .values(row)
      .onConflict((conflict) =>
        conflict.column("id").doUpdateSet({ hash: row.hash }).where("api_keys.revoked_at", "is", null),
      );
    // Another replica that is started now may insert the same, which only the other constraint sees.
    await seeding.execute().catch(() => seeding.execute());
    return { key: await this.key("admin"), role: (await this.role("admin"))! };
  }

  async keys(): Promise<KeyRecord[]> {
    const rows = await this.#database.selectFrom("api_keys").selectAll().orderBy("created_at").execute();
    return rows.map(recordOf);
  }

  /** @throws CapstanError NOT_FOUND */
  async key(id: string): Promise<KeyRecord> {
    if (!isName(id)) throw noKey(id);
    const row = await this.#database
      .selectFrom("api_keys")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirst();
    if (row === undefined) throw noKey(id);
    return recordOf(row);
  }

  /**
   * Another key of the same role and name. The old one goes on for `overlapMs`, so that its users can change over.
   * @throws CapstanError NOT_FOUND, or INVALID_ARGUMENT for a key that is revoked or has expired.
   */
  async rotate(id: string, overlapMs: number): Promise<CreatedKey> {
    const old = await this.key(id);
    const now = Date.now();
    if (old.revokedAt !== null) throw isRevoked(id);
    if (old.expiresAt !== null && old.expiresAt <= now)
      throw invalid(`Key '${id}' has expired: create another one`);
    const { role, name, expiresAt } = old;
    const until = Math.min(now + overlapMs, expiresAt ?? Number.MAX_SAFE_INTEGER);
    return this.#database.transaction().execute(async (database) => {
      const { numUpdatedRows } = await database
        .updateTable("api_keys")
        .set({ expires_at: until })
        .where("id", "=", id)
        .where("revoked_at", "is", null)
        .executeTakeFirstOrThrow();
      if (numUpdatedRows === 0n) throw isRevoked(id);
      return insertKey(database, { ...newKey(), role, name, expiresAt, rotatedFrom: id });
    });
  }

  /** Safe to call twice. @throws CapstanError NOT_FOUND */
  async revoke(id: string): Promise<void> {
    await this.key(id);
    await this.#database
      .updateTable("api_keys")
      .set({ revoked_at: Date.now() })
      .where("id", "=", id)
      .where("revoked_at", "is", null)
      .execute();
  }

  /** Whose a key is; undefined for one that is not known. Whether it is still good is for the caller to look. */
  async grantOf(key: string): Promise<Grant | undefined> {
    const hash = hashOf(key);
    const row = await this.#grants().where("api_keys.hash", "=", hash).executeTakeFirst();
    if (row === undefined || !sameHash(row.hash, hash)) return undefined;
    return { key: recordOf(row), role: roleOf({ ...row, name: row.role, created_at: 0 }) };
  }

  /** Of these keys, those that are revoked or expired. */
  async ended(ids: readonly string[], now = Date.now()): Promise<string[]> {
    const rows = await this.#database
      .selectFrom("api_keys")
      .select("id")
      .where("id", "in", ids)
      .where((where) => where.or([where("revoked_at", "is not", null), where("expires_at", "<=", now)]))
      .execute();
    return rows.map(({ id }) => id);
  }

  #grants() {
    return this.#database
      .selectFrom("api_keys")
      .innerJoin("roles", "roles.name", "api_keys.role")
      .selectAll("api_keys")
      .select([
        "models",
        "rpm",
        "tpm",
        "concurrency",
        "requests_per_month",
        "tokens_per_month",
        "max_tokens",
        "admin",
      ]);
  }

  async #requireRole(name: string): Promise<void> {
    if ((await this.role(name)) !== undefined) return;
    const names = (await this.roles()).map((role) => role.name).join(", ");
    throw invalid(
      `There is no role '${name}'; ${names === "" ? "there are none: capstan roles set NAME" : `there are ${names}`}`,
    );
  }
}

async function insertKey(
  database: Database,
  made: Parameters<typeof keyRow>[0] & { readonly key: string },
): Promise<CreatedKey> {
  const row = keyRow(made);
  await database.insertInto("api_keys").values(row).execute();
  return { ...recordOf(row), key: made.key };
}

function keyRow(made: {
  readonly id: string;
  readonly hash: string;
  readonly role: string;
  readonly name: string | null;
  readonly expiresAt?: number | null;
  readonly rotatedFrom?: string | null;
}): ApiKeyTable {
  return {
    id: made.id,
    name: made.name,
    role: made.role,
    hash: made.hash,
    created_at: Date.now(),
    expires_at: made.expiresAt ?? null,
    revoked_at: null,
    rotated_from: made.rotatedFrom ?? null,
  };
}

function recordOf(row: ApiKeyTable): KeyRecord {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    rotatedFrom: row.rotated_from,
  };
}

const isRevoked = (id: string) => invalid(`Key '${id}' is revoked: create another one`);
const noKey = (id: string) => new CapstanError("NOT_FOUND", `There is no key '${id}'`);
