import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { InferenceLogTable } from "../../store/tables.ts";

const WHOLE = ".jsonl";
const PART = ".part";
/** A file that is written for so long is one of a process that was killed. */
const ABANDONED_MS = 10 * 60 * 1000;

/**
 * Rows that the database could not take, on disk until it can: one JSON line each. Each append makes a file of its own, which
 * nobody changes afterwards, so that several servers may share a folder: whichever comes first writes a file's rows and removes it.
 */
export class Spool {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** On disk when it resolves, whatever happens to the process then. */
  async append(rows: readonly InferenceLogTable[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    // The oldest first, by name.
    const path = join(this.#folder, `${Date.now()}-${randomUUID()}`);
    try {
      await writeSynced(path + PART, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
      await rename(path + PART, path + WHOLE);
    } catch (error) {
      await rm(path + PART, { force: true });
      throw error;
    }
    await syncFolder(this.#folder);
  }

  /**
   * Gives the rows of each file to `write`, the oldest first, and removes the file when that has succeeded.
   * @param most files.
   * @returns whether there are more.
   */
  async replay(
    write: (rows: readonly InferenceLogTable[]) => Promise<void>,
    most = Infinity,
  ): Promise<boolean> {
    const names = await this.#names();
    for (const name of names.slice(0, most)) {
      const path = join(this.#folder, name);
      const rows = rowsIn(await textOf(path));
      if (rows.length > 0) await write(rows);
      await rm(path, { force: true });
    }
    return names.length > most;
  }

  async #names(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw error;
    });
    for (const name of names.filter((each) => each.endsWith(PART))) {
      const path = join(this.#folder, name);
      const age = Date.now() - (await stat(path).then(({ mtimeMs }) => mtimeMs, Date.now));
      // Another server may have done it.
      if (age > ABANDONED_MS) await rename(path, path.replace(PART, WHOLE)).catch(() => {});
    }
    return names.filter((each) => each.endsWith(WHOLE)).sort();
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  await using file = await open(path, "w");
  await file.writeFile(text);
  await file.sync();
}

/** Makes the name of a new file last through a loss of power; not every system can. */
async function syncFolder(folder: string): Promise<void> {
  try {
    await using handle = await open(folder, "r");
    await handle.sync();
  } catch {
    // The file itself is on disk.
  }
}

/** "" for a file that another server has written in the meantime. */
const textOf = (path: string): Promise<string> =>
  readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });

/** A process that was killed may have left half a line at the end. */
function rowsIn(text: string): InferenceLogTable[] {
  return text.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line) as InferenceLogTable];
    } catch {
      return [];
    }
  });
}
