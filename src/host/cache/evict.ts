import { readdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Content } from "./content.ts";
import { isOwnerAlive, readJson } from "./files.ts";

interface Kept {
  readonly digest: string;
  readonly bytes: number;
  readonly usedAt: number;
}

/**
 * Removes the artifacts that were not used for longest until the others fit into `maxBytes`. One that a living process
 * holds stays, and so does `spared`.
 */
export async function evict(root: string, maxBytes: number, spared: string): Promise<void> {
  const kept = await keptArtifacts(root);
  let bytes = kept.reduce((sum, each) => sum + each.bytes, 0);
  for (const { digest, bytes: size } of kept.sort((a, b) => a.usedAt - b.usedAt)) {
    if (bytes <= maxBytes) return;
    if (digest === spared || (await isHeld(root, digest))) continue;
    await rm(join(root, "artifacts", `${digest}.json`), { force: true });
    await rm(join(root, "artifacts", digest), { recursive: true, force: true });
    bytes -= size;
  }
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
