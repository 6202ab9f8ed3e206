import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { InferenceLogTable } from "../../store/tables.ts";

/** Rows that the database could not take, on disk until it can: one JSON line each. */
export class Spool {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** On disk when it resolves, whatever happens to the process then. */
  async append(rows: readonly InferenceLogTable[]): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true });
    await using file = await open(this.#path, "a");
    await file.appendFile(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    await file.sync();
  }

  /**
   * Gives what is there to `write`, and removes it when that has succeeded. A row that is written twice is one.
   * What a replay before could not write comes first.
   */
  async replay(write: (rows: readonly InferenceLogTable[]) => Promise<void>): Promise<void> {
    const taken = `${this.#path}.replay`;
    do {
      const rows = await rowsIn(taken);
      if (rows.length > 0) await write(rows);
      await rm(taken, { force: true });
    } while (await moved(this.#path, taken));
  }
}

const moved = (from: string, to: string): Promise<boolean> =>
  rename(from, to).then(
    () => true,
    () => false,
  );

/** A process that was killed may have left half a line at the end. */
async function rowsIn(path: string): Promise<InferenceLogTable[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line) as InferenceLogTable];
    } catch {
      return [];
    }
  });
}
