import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Row } from "./statements.ts";

/** What was appended at once, until it is in the table. */
export interface Entry {
  readonly file: string;
  readonly rows: readonly Row[];
}

const ENDING = ".json";

/**
 * Turns on their way to the table, a file for each append. A file is removed when its rows were written, by whoever wrote
 * them, and rows may be written twice: so several servers may share a folder, and each may go on where another crashed.
 */
export class Journal {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Journal> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new Journal(folder);
  }

  /** What was left behind, oldest first. */
  async entries(): Promise<Entry[]> {
    const names = (await readdir(this.#folder)).filter((name) => name.endsWith(ENDING)).sort();
    const entries = await Promise.all(names.map((name) => readEntry(join(this.#folder, name))));
    return entries.filter((entry) => entry !== undefined);
  }

  /** Returns when the rows are on the disk: a crash of the machine does not lose them. */
  async add(rows: readonly Row[]): Promise<Entry> {
    const name = `${String(rows[0]!.seq).padStart(16, "0")}-${randomUUID()}`;
    const [unfinished, file] = [join(this.#folder, name), join(this.#folder, name + ENDING)];
    await writeThrough(unfinished, JSON.stringify(rows));
    await rename(unfinished, file);
    await sync(this.#folder);
    return { file, rows };
  }

  async remove({ file }: Entry): Promise<void> {
    await rm(file, { force: true });
  }
}

/** Undefined when another server has written it in the meantime. */
async function readEntry(file: string): Promise<Entry | undefined> {
  try {
    return { file, rows: JSON.parse(await readFile(file, "utf8")) as Row[] };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function writeThrough(file: string, text: string): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

/** A new name is only safe once its folder is. */
async function sync(folder: string): Promise<void> {
  await using handle = await open(folder, "r");
  await handle.sync();
}
