import { readJson, writeJson } from "../host/cache/files.ts";
import type { Desired, DesiredState } from "../host/sources/desired.ts";
import { answered } from "../store/answered.ts";
import type { Database } from "../store/tables.ts";

type Decided = Readonly<Record<string, Desired>>;

/** Where decisions are found on this machine while the database is away. */
export interface OnThisMachine {
  /** A file for what was read last. */
  readonly copy: string;
  /** Decisions from before there was a database, until they are in it. */
  readonly before: DesiredState;
}

/** Decisions in the database: every replica that shares it follows them, as they were read last while it is away. */
export class DesiredTable implements DesiredState {
  readonly #database: Database;
  readonly #here: OnThisMachine;
  #last: Decided | undefined;
  #copied: string | undefined;

  constructor(database: Database, here: OnThisMachine) {
    this.#database = database;
    this.#here = here;
  }

  async read(): Promise<Decided> {
    try {
      return await this.latest();
    } catch {
      // A look at the repository must not fail for it; a write says so.
      this.#last ??= await readJson<Decided>(this.#here.copy);
      return { ...(await this.#here.before.read()), ...this.#last };
    }
  }

  async latest(): Promise<Decided> {
    const query = this.#database.selectFrom("desired_state").select(["model", "state"]).orderBy("model");
    const rows = await decided(query.execute());
    this.#last = Object.fromEntries(rows.map(({ model, state }) => [model, JSON.parse(state) as Desired]));
    await this.#copy(this.#last);
    return this.#last;
  }

  async write(model: string, desired: Desired): Promise<void> {
    if (Object.keys(desired).length === 0) {
      await decided(this.#database.deleteFrom("desired_state").where("model", "=", model).execute());
      return;
    }
    const row = rowOf(desired);
    const insert = this.#database.insertInto("desired_state").values({ model, ...row });
    await decided(insert.onConflict((same) => same.column("model").doUpdateSet(row)).execute());
  }

  /**
   * Writes a decision about a model that has none here.
   * @throws the database's error: at the start it tells a wrong database from one that is away.
   */
  async add(model: string, desired: Desired): Promise<void> {
    const insert = this.#database.insertInto("desired_state").values({ model, ...rowOf(desired) });
    await insert.onConflict((same) => same.column("model").doNothing()).execute();
  }

  /** A disk that does not take it must not fail a look either: it is tried again at the next. */
  async #copy(last: Decided): Promise<void> {
    const text = JSON.stringify(last);
    if (text === this.#copied) return;
    await writeJson(this.#here.copy, last).then(
      () => {
        this.#copied = text;
      },
      () => {},
    );
  }
}

const rowOf = (desired: Desired) => ({ state: JSON.stringify(desired), changed_at: Date.now() });

const decided = <T>(asking: Promise<T>): Promise<T> =>
  answered(asking, "What was decided about models is not known now: its database does not answer");
