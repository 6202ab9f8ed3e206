import { createReadStream } from "node:fs";
import { Parser, type ReadEntry } from "tar";
import type { UnpackTarget } from "./unpack-target.ts";

const FILES: ReadonlySet<string> = new Set(["File", "OldFile", "ContiguousFile"]);
const DIRECTORIES: ReadonlySet<string> = new Set(["Directory", "GNUDumpDir"]);

/** Unpacks a tar, compressed or not: the parser looks at its first bytes. */
export async function unpackTar(file: string, target: UnpackTarget): Promise<void> {
  const saves: Promise<void>[] = [];
  let current: ReadEntry | undefined;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onReadEntry = (entry: ReadEntry) => {
    current = entry;
    const save = saveEntry(entry, target);
    saves.push(save);
    save.catch(reject);
  };
  const parser = new Parser({ strict: true, onReadEntry });
  const source = createReadStream(file);
  parser.on("error", reject).on("end", resolve);
  source.on("error", reject).pipe(parser as unknown as NodeJS.WritableStream);
  try {
    await promise;
    await Promise.all(saves);
  } catch (cause) {
    // An entry whose rest will not come would wait for it for ever.
    current?.destroy(cause);
    await Promise.allSettled(saves);
    throw cause;
  } finally {
    source.destroy();
  }
}

async function saveEntry(entry: ReadEntry, target: UnpackTarget): Promise<void> {
  target.count();
  if (FILES.has(entry.type)) return target.file(entry.path, entry);
  if (!DIRECTORIES.has(entry.type)) {
    target.refuse(
      `'${entry.path}', a ${entry.type}. Only files and folders are taken: pack links as what they name`,
    );
  }
  await target.directory(entry.path);
  entry.resume();
}
