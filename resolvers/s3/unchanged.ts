import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { constants, copyFile, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Call } from "../../src/contracts/index.ts";
import type { StoredObject } from "./store.ts";

const MIB = 1024 * 1024;
/** In what parts uploads come: 8 MiB of AWS' command and boto3, and what others take. */
const PART_SIZES = [8, 5, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512].map((size) => size * MIB);
/** For each of them a file is read once. */
const MOST_TRIES = 3;

/**
 * Copies a file that is here already, where it is what the object holds: false where it is not, or cannot be known.
 * An ETag is the MD5 of an object, or of the MD5s of its parts; of encrypted ones (KMS) it is neither, and equals no file.
 */
export async function copyUnchanged(
  from: string,
  to: string,
  object: StoredObject,
  { signal }: Call,
): Promise<boolean> {
  const isSame = await isUnchanged(from, object, signal).catch(() => false);
  signal.throwIfAborted();
  if (!isSame) return false;
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  return true;
}

async function isUnchanged(
  path: string,
  { etag, size }: StoredObject,
  signal: AbortSignal,
): Promise<boolean> {
  const [, expected, parts] = /^"?([0-9a-f]{32})(?:-(\d+))?"?$/.exec(etag) ?? [];
  if (expected === undefined || (await stat(path)).size !== size) return false;
  if (parts === undefined) return (await md5(path, 0, size, signal)).toString("hex") === expected;
  const sizes = PART_SIZES.filter((partSize) => Math.ceil(size / partSize) === Number(parts));
  for (const partSize of sizes.slice(0, MOST_TRIES))
    if ((await md5OfParts(path, size, partSize, signal)) === expected) return true;
  return false;
}

async function md5OfParts(
  path: string,
  size: number,
  partSize: number,
  signal: AbortSignal,
): Promise<string> {
  const all = createHash("md5");
  for (let start = 0; start < size; start += partSize)
    all.update(await md5(path, start, Math.min(size, start + partSize), signal));
  return all.digest("hex");
}

/** @param end the first byte that is not of it. */
async function md5(path: string, start: number, end: number, signal: AbortSignal): Promise<Buffer> {
  const hash = createHash("md5");
  if (end === start) return hash.digest();
  for await (const chunk of createReadStream(path, { start, end: end - 1, signal }))
    hash.update(chunk as Buffer);
  return hash.digest();
}
