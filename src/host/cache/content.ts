import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { pipeline } from "node:stream/promises";

/** What an artifact is made of: its files' sizes by their paths, and the digest of all. */
export interface Content {
  readonly digest: string;
  readonly bytes: number;
  readonly files: Readonly<Record<string, number>>;
}

/** Reads a folder through. The digest is of its paths and bytes alone: the same files are the same content. */
export async function contentOf(folder: string): Promise<Content> {
  const files: Record<string, number> = {};
  const all = createHash("sha256");
  for (const path of (await paths(folder)).sort()) {
    const file = createHash("sha256");
    let size = 0;
    await pipeline(createReadStream(join(folder, path)), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) {
        size += chunk.length;
        file.update(chunk);
      }
    });
    files[path] = size;
    all.update(`${JSON.stringify(path)} ${size} ${file.digest("hex")}\n`);
  }
  const bytes = Object.values(files).reduce((sum, size) => sum + size, 0);
  return { digest: all.digest("hex"), bytes, files };
}

/** Whether a folder still holds what it held: every file, with its size. */
export async function isWhole(folder: string, { files }: Content): Promise<boolean> {
  const sizes = Object.entries(files).map(async ([path, size]) => {
    const found = await stat(join(folder, path)).catch(() => undefined);
    return found?.size === size;
  });
  return (await Promise.all(sizes)).every(Boolean);
}

/** Relative, with forward slashes. */
async function paths(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of await opendir(folder, { recursive: true })) {
    if (entry.isFile()) found.push(relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"));
  }
  return found;
}
