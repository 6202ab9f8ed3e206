import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A temporary folder of real files, gone when disposed. */
export class Files implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  /** @param files content by path; an object is written as JSON. */
  static async create(files: Readonly<Record<string, string | object>> = {}): Promise<Files> {
    const made = new Files(await realpath(await mkdtemp(join(tmpdir(), "capstan-test-"))));
    for (const [path, content] of Object.entries(files)) await made.write(path, content);
    return made;
  }

  /** Writes a file and the folders above it; gives its absolute path. */
  async write(path: string, content: string | object): Promise<string> {
    const file = this.path(path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
    return file;
  }

  path(path: string): string {
    return join(this.root, path);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.root, { recursive: true, force: true });
  }
}
