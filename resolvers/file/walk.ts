import { createReadStream, createWriteStream, type Stats } from "node:fs";
import { mkdir, readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Call, CapstanError } from "../../src/contracts/index.ts";

export interface File {
  /** Relative to what was asked for; its own name where that is a file. */
  readonly name: string;
  readonly path: string;
  readonly info: Stats;
}

/** Every file below a path, or the file itself. */
export async function* filesOf(path: string, call: Call): AsyncGenerator<File> {
  const info = await reading(path, (at) => stat(at));
  call.signal.throwIfAborted();
  if (info.isDirectory()) yield* filesIn(path, "", [await reading(path, (at) => realpath(at))], call);
  else yield { name: basename(path), path, info };
}

/** In order of name. Symbolic links are followed, but not into a folder that is being read already. */
async function* filesIn(folder: string, prefix: string, above: string[], call: Call): AsyncGenerator<File> {
  for (const entry of (await reading(folder, (at) => readdir(at))).sort()) {
    call.signal.throwIfAborted();
    const path = join(folder, entry);
    const name = join(prefix, entry);
    const info = await stat(path).catch(() => undefined);
    if (info?.isFile()) yield { name, path, info };
    if (!info?.isDirectory()) continue;
    const real = await reading(path, (at) => realpath(at));
    if (!above.includes(real)) yield* filesIn(path, name, [...above, real], call);
  }
}

/** Copies what `filesOf` lists. */
export async function copyFiles(location: string, directory: string, call: Call): Promise<void> {
  call.signal.throwIfAborted();
  for await (const { name, path } of filesOf(location, call)) {
    const target = join(directory, name);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(path, target, call);
  }
}

async function copyFile(path: string, target: string, { signal }: Call): Promise<void> {
  try {
    await pipeline(createReadStream(path), createWriteStream(target), { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    const cause = thrown as NodeJS.ErrnoException;
    if (cause.path === path) throw failure(path, cause);
    throw new CapstanError("INTERNAL", `Cannot copy ${path} to ${target}: ${cause.message}`, { cause });
  }
}

/** @throws CapstanError NOT_FOUND or UPSTREAM where the file system refuses. */
export async function reading<T>(path: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(path);
  } catch (cause) {
    throw failure(path, cause as NodeJS.ErrnoException);
  }
}

function failure(path: string, cause: NodeJS.ErrnoException): CapstanError {
  if (cause.code === "ENOENT" || cause.code === "ENOTDIR") {
    return new CapstanError("NOT_FOUND", `There is no ${path}`, { cause });
  }
  return new CapstanError("UPSTREAM", `Cannot read ${path}: ${cause.message}`, { cause });
}
