import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Call, CapstanError, invalid, type Located } from "../../src/contracts/index.ts";
import { completeVersion, versionsIn } from "./versions.ts";
import { filesOf, reading } from "./walk.ts";

const LATEST = /@latest$/;

/**
 * The revision is a digest of each file's path, size, change time and inode: cheap, and it reads no file.
 * `@latest` behind a folder says that it must be one of versions, also where other files lie beside them.
 */
export async function locateFiles(uri: string, settle: number, call: Call): Promise<Located> {
  call.signal.throwIfAborted();
  const { path, version } = await chosen(pathOf(uri), settle, call);
  const digest = createHash("sha256");
  for await (const { name, info } of filesOf(path, call)) {
    digest.update(`${JSON.stringify(name)} ${info.size} ${info.mtimeMs} ${info.ino}\n`);
  }
  return { version, revision: digest.digest("hex"), location: path, path };
}

interface Chosen {
  readonly path: string;
  readonly version: string;
}

async function chosen(path: string, settle: number, call: Call): Promise<Chosen> {
  const explicit = LATEST.test(path) && !(await exists(path));
  const folder = explicit ? path.replace(LATEST, "") : path;
  const isFolder = (await reading(folder, (at) => stat(at))).isDirectory();
  const versions = isFolder ? await versionsIn(folder, !explicit) : undefined;
  if (versions === undefined) {
    if (explicit)
      throw new CapstanError("NOT_FOUND", `There is no folder with a number for its name in ${folder}`);
    return { path: folder, version: await versionOf(folder, isFolder) };
  }
  const version = await completeVersion(folder, versions, settle, call);
  return { path: join(folder, version), version };
}

/** A folder that is one of versions itself was asked for by its number. */
async function versionOf(path: string, isFolder: boolean): Promise<string> {
  const name = basename(path);
  const siblings =
    isFolder && /^\d+$/.test(name) ? await versionsIn(dirname(path), true).catch(() => []) : [];
  return siblings?.includes(name) ? name : "";
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

function pathOf(uri: string): string {
  try {
    const path = fileURLToPath(uri);
    if (!path.includes("\0")) return path;
  } catch (cause) {
    throw invalid(`'${uri}' is not a file: uri, which reads file:///absolute/path`, { cause });
  }
  throw invalid(`'${uri}' holds a NUL character`);
}
