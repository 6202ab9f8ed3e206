import { createHash } from "node:crypto";
import { opendir, realpath, stat } from "node:fs/promises";
import { join, relative } from "node:path";

/**
 * A digest of the size, modification time and inode of files, and of every file below folders. It changes
 * when one of them is written, replaced, added or removed; a path that does not exist counts as such.
 */
export async function fingerprintOf(paths: readonly string[]): Promise<string> {
  const lines: string[] = [];
  for (const path of paths) await describe(path, path, lines, new Set());
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}

async function describe(
  path: string,
  root: string,
  lines: string[],
  above: ReadonlySet<string>,
): Promise<void> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found?.isDirectory()) return describeFolder(path, root, lines, above);
  const what = found === undefined ? "absent" : `${found.size} ${found.mtimeNs} ${found.ino}`;
  lines.push(JSON.stringify([root, relative(root, path), what]));
}

async function describeFolder(path: string, root: string, lines: string[], above: ReadonlySet<string>) {
  const real = await realpath(path).catch(() => path);
  // A link to a folder above it would never end.
  if (above.has(real)) return;
  const inside = new Set([...above, real]);
  lines.push(JSON.stringify([root, relative(root, path), "folder"]));
  try {
    for await (const entry of await opendir(path)) {
      const ignored = entry.name.startsWith(".") || entry.name === "node_modules";
      if (!ignored) await describe(join(path, entry.name), root, lines, inside);
    }
  } catch {
    lines.push(JSON.stringify([root, relative(root, path), "unreadable"]));
  }
}
