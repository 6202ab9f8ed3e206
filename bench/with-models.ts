import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startCapstan } from "./capstan.ts";
import type { ServerProcess } from "./server-process.ts";

/**
 * A Capstan with models of its own.
 * @param models their settings by name.
 * @param files what else the repository holds, by path.
 */
export async function startWithModels(
  models: Readonly<Record<string, object>>,
  files: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const repository = await mkdtemp(path.join(tmpdir(), "capstan-bench-"));
  const remove = () => rm(repository, { recursive: true, force: true });
  const written = { ...files };
  for (const [name, settings] of Object.entries(models)) {
    written[`${name}/model-settings.json`] = JSON.stringify({ name, ...settings });
  }
  try {
    for (const [file, text] of Object.entries(written)) {
      await mkdir(path.dirname(path.join(repository, file)), { recursive: true });
      await writeFile(path.join(repository, file), text);
    }
    const server = await startCapstan(repository);
    return { ...server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}
