import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Call, CapstanError } from "../../src/contracts/index.ts";
import { filesOf, reading } from "./walk.ts";

const NUMBER = /^\d{1,15}$/;
/** Somebody is still writing there: the endings that copying tools use, and `.incomplete` for scripts. */
const UNFINISHED = /\.(incomplete|tmp|part|partial)$/i;
/** Looks at a version that keeps changing. */
const ROUNDS = 5;

/**
 * Names of the versions in a folder, highest first; undefined where it is no folder of versions.
 * @param strict it must hold nothing else: hidden entries and unfinished ones are not counted.
 */
export async function versionsIn(folder: string, strict: boolean): Promise<string[] | undefined> {
  const entries = (await reading(folder, (at) => readdir(at, { withFileTypes: true }))).filter(
    ({ name }) => !name.startsWith(".") && !UNFINISHED.test(name),
  );
  const versions = entries.filter((entry) => NUMBER.test(entry.name) && !entry.isFile());
  if (versions.length === 0 || (strict && versions.length < entries.length)) return undefined;
  return versions.map(({ name }) => name).sort((a, b) => Number(b) - Number(a));
}

/**
 * The highest version that is complete: it has a file, none named as unfinished, and none that changed in the last
 * `settle` milliseconds. Copying a file sets its change time, whatever it does with the other times.
 * @throws CapstanError NOT_READY when there is none, also after a wait.
 */
export async function completeVersion(
  folder: string,
  versions: readonly string[],
  settle: number,
  call: Call,
): Promise<string> {
  for (let round = 0; ; round++) {
    let wait = Number.POSITIVE_INFINITY;
    for (const version of versions) {
      const left = await unsettled(join(folder, version), settle, call);
      if (left === 0) return version;
      wait = Math.min(wait, left);
    }
    if (wait === Number.POSITIVE_INFINITY || round === ROUNDS) throw unfinished(folder, versions);
    await sleep(wait, undefined, { signal: call.signal }).catch(() => call.signal.throwIfAborted());
  }
}

/** Milliseconds until a version may be complete: 0 for one that is, infinite where something must happen first. */
async function unsettled(version: string, settle: number, call: Call): Promise<number> {
  let newest = 0;
  for await (const { name, info } of filesOf(version, call)) {
    if (UNFINISHED.test(name)) return Number.POSITIVE_INFINITY;
    newest = Math.max(newest, info.ctimeMs);
  }
  if (newest === 0) return Number.POSITIVE_INFINITY;
  // A file server's clock may be ahead of ours: what lies far in the future is not new.
  const age = Math.abs(Date.now() - newest);
  return age >= settle ? 0 : Math.ceil(settle - age) + 1;
}

function unfinished(folder: string, versions: readonly string[]): CapstanError {
  return new CapstanError(
    "NOT_READY",
    `No version in ${folder} is complete (${versions.join(", ")}): each is empty, still changing, or holds a file ` +
      "ending in .incomplete, .tmp, .part or .partial",
  );
}
