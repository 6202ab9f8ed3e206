import type { Desired, DesiredState } from "../host/sources/desired.ts";
import type { Database } from "../store/tables.ts";

/** Decisions in the database: every replica that shares it follows them. */
export class DesiredTable implements DesiredState {
  readonly #database: Database;
  /** What was read last: decisions hold while the database is away. */
  #last: Readonly<Record<string, Desired>> = {};

  constructor(database: Database) {
    this.#database = database;
  }

  async read(): Promise<Readonly<Record<string, Desired>>> {
    try {
      const rows = await this.#database.selectFrom("desired_state").select(["model", "state"]).execute();
      this.#last = Object.fromEntries(rows.map(({ model, state }) => [model, JSON.parse(state) as Desired]));
    } catch {
      // A look at the repository must not fail for it; a write says so.
    }
    return this.#last;
  }

  async write(model: string, desired: Desired): Promise<void> {
    if (Object.keys(desired).length === 0) {
      await this.#database.deleteFrom("desired_state").where("model", "=", model).execute();
      return;
    }
    const row = { state: JSON.stringify(desired), changed_at: Date.now() };
    await this.#database
      .insertInto("desired_state")
      .values({ model, ...row })
      .onConflict((conflict) => conflict.column("model").doUpdateSet(row))
      .execute();
  }
}
