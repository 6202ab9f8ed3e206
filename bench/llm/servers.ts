import path from "node:path";
import { type RunningServer, startServer } from "../server-process.ts";
import { startWithModels } from "../with-models.ts";

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
