import { stat } from "node:fs/promises";
import { type Call, isCapstanError } from "../../src/contracts/index.ts";
import { upstream } from "./failures.ts";
import { type Archive, UnpackTarget } from "./unpack-target.ts";

export type ArchiveKind = "tar" | "zip";

/** By the name: content types of archives are too often wrong. Undefined for a file that is kept as it is. */
export function archiveKind(name: string): ArchiveKind | undefined {
  if (/\.(tar|tar\.gz|tgz)$/i.test(name)) return "tar";
  return /\.zip$/i.test(name) ? "zip" : undefined;
}

/** @throws CapstanError UPSTREAM for an archive that is broken, too large, or reaches outside of the directory. */
export async function unpack(kind: ArchiveKind, archive: Archive, call: Call): Promise<void> {
  const { size } = await stat(archive.file);
  const target = new UnpackTarget(archive, size, call);
  try {
    if (kind === "tar") await (await import("./tar.ts")).unpackTar(archive.file, target);
    else await (await import("./zip.ts")).unpackZip(archive.file, target);
  } catch (cause) {
    call.signal.throwIfAborted();
    if (isCapstanError(cause)) throw cause;
    const { message } = cause as Error;
    throw upstream(`${archive.label} is not a whole ${kind} archive: ${message}`, cause);
  }
  if (target.files === 0) throw upstream(`${archive.label} is an archive without a file`);
}
