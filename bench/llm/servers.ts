import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startCapstan } from "../capstan.ts";
import { type RunningServer, startServer } from "../server-process.ts";

/** The name of the model in front of the upstream. */
export const MODEL = "chat";
/** More than any measurement opens at once. */
const CONNECTIONS = 8192;

function startScript(script: string, ...args: string[]): Promise<RunningServer> {
  return startServer({ file: process.execPath, args: [path.join(import.meta.dirname, script), ...args] });
}

export const startUpstream = () => startScript("upstream.ts");
export const startPassThrough = (upstream: string) => startScript("../floor-proxy-http.ts", upstream);

/** A Capstan as it is started by default, with logs and metrics, and one model: the upstream's. */
export function startFront(upstream: string): Promise<RunningServer> {
  const extra = { framework: "openai", base_url: `http://${upstream}`, connections: CONNECTIONS };
  return startWithModels({ [MODEL]: { implementation: "llm", parameters: { version: "1", extra } } });
}

/** A Capstan with models of the given settings and files. */
export async function startWithModels(
  models: Readonly<Record<string, object>>,
  files: Readonly<Record<string, string>> = {},
): Promise<RunningServer> {
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
