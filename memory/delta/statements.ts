/** A statement with named parameters, all of them text. */
export interface Statement {
  readonly sql: string;
  readonly parameters?: Readonly<Record<string, string>>;
}

/** A turn as it is stored. Rows are only ever added, so a turn that was written twice is there twice. */
export interface Row {
  readonly owner: string;
  readonly session_id: string;
  readonly turn_id: string;
  /** Microseconds since the epoch, growing in each process: the order of the rows. Below 2^53 until 2255. */
  readonly seq: number;
  /** Milliseconds since the epoch: drivers do not agree on what a TIMESTAMP is. */
  readonly said_at: number;
  /** JSON. */
  readonly messages: string;
}

const COLUMNS =
  "owner STRING, session_id STRING, turn_id STRING, seq BIGINT, said_at BIGINT, messages STRING";
const NAMES = "owner, session_id, turn_id, seq, said_at, messages";
const FIELDS = COLUMNS.replaceAll(/(\w+) (\w+)/g, "$1:$2").replaceAll(", ", ",");

/** The statements on one table; nothing but INSERT, SELECT and DELETE, which do not stand in each other's way. */
export class Statements {
  readonly #table: string;

  /** @param table up to three names with dots between them. */
  constructor(table: string) {
    this.#table = table
      .split(".")
      .map((name) => `\`${name}\``)
      .join(".");
  }

  create(): Statement {
    return { sql: `CREATE TABLE IF NOT EXISTS ${this.#table} (${COLUMNS}) USING DELTA` };
  }

  /** Whether the table is there, for who may not create one. */
  describe(): Statement {
    return { sql: `DESCRIBE TABLE ${this.#table}` };
  }

  /** One commit of any number of rows, as the one parameter. */
  insert(rows: readonly Row[]): Statement {
    const source = `SELECT inline(from_json(:rows, 'ARRAY<STRUCT<${FIELDS}>>'))`;
    return {
      sql: `INSERT INTO ${this.#table} (${NAMES}) SELECT ${NAMES} FROM (${source})`,
      parameters: { rows: JSON.stringify(rows) },
    };
  }

  /** Newest first; of a turn that is there twice, the first. */
  select(owner: string, session: string, last: number | undefined): Statement {
    const copies = "ROW_NUMBER() OVER (PARTITION BY turn_id ORDER BY seq) AS copy";
    const rows = `SELECT turn_id, seq, said_at, messages, ${copies} FROM ${this.#table} ${OF_SESSION}`;
    const limit = last === undefined ? "" : ` LIMIT ${last}`;
    return {
      sql: `SELECT turn_id, said_at, messages FROM (${rows}) WHERE copy = 1 ORDER BY seq DESC${limit}`,
      parameters: { owner, session },
    };
  }

  delete(owner: string, session: string): Statement {
    return { sql: `DELETE FROM ${this.#table} ${OF_SESSION}`, parameters: { owner, session } };
  }

  sessions(owner: string): Statement {
    const sql = `SELECT session_id FROM ${this.#table} WHERE owner = :owner GROUP BY session_id ORDER BY MIN(seq)`;
    return { sql, parameters: { owner } };
  }
}

const OF_SESSION = "WHERE owner = :owner AND session_id = :session";
