import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startCapstan } from "./capstan.ts";
import type { RunningServer } from "./server-process.ts";

/** A Capstan whose models, named as those in the folder `models`, are all at `uri`. */
export async function startRemote(models: string, uri: string): Promise<RunningServer> {
  const repository = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  const remove = () => rm(repository, { recursive: true, force: true });
  try {
    for (const entry of await readdir(models, { withFileTypes: true })) {
      if (entry.isDirectory()) await writeSettings(path.join(repository, entry.name), entry.name, uri);
    }
    const server = await startCapstan(repository);
    return { ...server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function writeSettings(folder: string, name: string, uri: string): Promise<void> {
  const settings = { name, implementation: "remote", parameters: { uri, version: "1" } };
  await mkdir(folder);
  await writeFile(path.join(folder, "model-settings.json"), JSON.stringify(settings));
}
