import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

/** Bytes of a file, or of all files below a folder; undefined where they cannot be looked at. */
export async function artifactSize(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return found.size;
    const entries = await readdir(path, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory());
    const sizes = await Promise.all(files.map((file) => stat(join(file.parentPath, file.name))));
    return sizes.reduce((sum, { size }) => sum + size, 0);
  } catch {
    return undefined;
  }
}
