import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Content } from "./content.ts";
import { isOwnerAlive, readJson } from "./files.ts";

interface Kept {
  readonly digest: string;
  readonly bytes: number;
  readonly usedAt: number;
}

/**
 * Moves the artifacts that were not used for longest into the folder `aside`, until the others fit into `maxBytes`. One
 * that a living process holds stays. Only one process at a time may do so.
 */
export async function evict(root: string, maxBytes: number, aside: string): Promise<void> {
  const kept = await keptArtifacts(root);
  let bytes = kept.reduce((sum, each) => sum + each.bytes, 0);
  for (const { digest, bytes: size } of kept.sort((a, b) => a.usedAt - b.usedAt)) {
    if (bytes <= maxBytes) return;
    if (await takeAway(root, digest, aside)) bytes -= size;
  }
}

/** Its list goes first and leases are looked for then; who wants it takes a lease first, and looks for the list then. */
async function takeAway(root: string, digest: string, aside: string): Promise<boolean> {
  if (await isHeld(root, digest)) return false;
  const manifest = join(root, "artifacts", `${digest}.json`);
  const taken = join(aside, `${digest}.json`);
  await rename(manifest, taken);
  if (await isHeld(root, digest)) {
    await rename(taken, manifest);
    return false;
  }
  await rename(join(root, "artifacts", digest), join(aside, digest)).catch(() => {});
  return true;
}

/** The digests of folders without their lists, older than `ageMs`, that nobody holds: a killed process left them. */
export async function straysIn(root: string, ageMs: number): Promise<string[]> {
  const folder = join(root, "artifacts");
  const names = await readdir(folder).catch((): string[] => []);
  const strays: string[] = [];
  for (const name of names.filter((each) => !each.includes(".") && !names.includes(`${each}.json`))) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    const isOld = found !== undefined && Date.now() - found.ctimeMs >= ageMs;
    if (isOld && !(await isHeld(root, name))) strays.push(name);
  }
  return strays;
}

async function keptArtifacts(root: string): Promise<Kept[]> {
  const folder = join(root, "artifacts");
  const manifests = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".json"));
  const kept = await Promise.all(
    manifests.map(async (name): Promise<Kept[]> => {
      const content = await readJson<Content>(join(folder, name));
      const found = await stat(join(folder, name)).catch(() => undefined);
      if (content === undefined || found === undefined) return [];
      return [{ digest: basename(name, ".json"), bytes: content.bytes, usedAt: found.mtimeMs }];
    }),
  );
  return kept.flat();
}

async function isHeld(root: string, digest: string): Promise<boolean> {
  const folder = join(root, "leases", digest);
  const leases = await readdir(folder).catch(() => []);
  const dead = leases.filter((name) => !isOwnerAlive(name));
  for (const name of dead) await rm(join(folder, name), { force: true });
  return leases.length > dead.length;
}
