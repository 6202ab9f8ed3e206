import { mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isOwnerAlive, ownedName } from "./files.ts";

const PAUSE_MS = 10;
/** A lock that says nothing for so long is of a process that was killed before it wrote its name. */
const SILENT_MS = 10_000;

/** Runs `work` while no other process of this machine does under the same path. A dead owner's lock counts for nothing. */
export async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const owner = ownedName();
  await mkdir(dirname(path), { recursive: true });
  while (!(await wasTaken(path, owner))) if (!(await wasBroken(path, owner))) await sleep(PAUSE_MS);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

async function wasTaken(path: string, owner: string): Promise<boolean> {
  try {
    await writeFile(path, owner, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Takes the lock of a dead owner away. Whose it was is looked at again then: another may have been quicker. */
async function wasBroken(path: string, own: string): Promise<boolean> {
  if (!(await isAbandoned(path))) return false;
  const taken = `${path}.${own}`;
  const isMine = await rename(path, taken).then(
    () => true,
    () => false,
  );
  if (!isMine) return true;
  if (!(await isAbandoned(taken))) await wasTaken(path, await readFile(taken, "utf8"));
  await rm(taken, { force: true });
  return true;
}

async function isAbandoned(path: string): Promise<boolean> {
  const [owner, found] = await Promise.all([
    readFile(path, "utf8").catch(() => undefined),
    stat(path).catch(() => undefined),
  ]);
  if (owner === undefined || found === undefined) return false;
  return owner === "" ? Date.now() - found.mtimeMs > SILENT_MS : !isOwnerAlive(owner);
}
