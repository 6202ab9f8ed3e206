import type { Connect, SqlSession } from "../../memory/delta/connection.ts";
import type { Row, Statement } from "../../memory/delta/statements.ts";

/** What the store's statements do in a warehouse, in this process. */
export class FakeWarehouse {
  rows: Row[] = [];
  /** The first words of each statement. */
  readonly ran: string[] = [];
  opened = 0;
  closed = 0;
  /** Statements that begin so fail with this message. */
  failing: { readonly start: string; readonly message: string } | undefined;
  /** Statements wait for it. */
  gate: Promise<void> = Promise.resolve();

  readonly connect: Connect = async () => {
    if (this.failing?.start === "CONNECT") throw new Error(this.failing.message);
    this.opened += 1;
    return this.#session();
  };

  #session(): SqlSession {
    return {
      run: async (statement) => {
        await this.gate;
        this.ran.push(statement.sql.split(" ", 1)[0]!);
        const { failing } = this;
        if (failing && statement.sql.startsWith(failing.start)) throw new Error(failing.message);
        return this.#answer(statement);
      },
      [Symbol.asyncDispose]: async () => {
        this.closed += 1;
      },
    };
  }

  #answer({ sql, parameters = {} }: Statement) {
    const isOfSession = (row: Row) => row.owner === parameters.owner && row.session_id === parameters.session;
    if (sql.startsWith("INSERT")) this.rows.push(...(JSON.parse(parameters.rows!) as Row[]));
    if (sql.startsWith("DELETE")) this.rows = this.rows.filter((row) => !isOfSession(row));
    if (sql.startsWith("SELECT session_id")) return this.#sessions(parameters.owner!);
    if (!sql.startsWith("SELECT turn_id")) return [];
    const rows = this.rows.filter(isOfSession).toSorted((a, b) => a.seq - b.seq);
    const first = rows.filter(
      ({ turn_id }, index) => rows.findIndex((row) => row.turn_id === turn_id) === index,
    );
    return first
      .toReversed()
      .slice(0, Number(/ LIMIT (\d+)$/.exec(sql)?.[1] ?? first.length)) as unknown as Record<
      string,
      unknown
    >[];
  }

  #sessions(owner: string) {
    const ids = this.rows.filter((row) => row.owner === owner).map(({ session_id }) => session_id);
    return [...new Set(ids)].map((session_id) => ({ session_id }));
  }
}
