import path from "node:path";
import { type Command, type ServerProcess, startServer } from "./server-process.ts";

export const ROOT = path.dirname(import.meta.dirname);

/** How Capstan is started from `entry`, with the repository `models` and free ports. */
export function capstanCommand(entry: string, models: string): Command {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  return { file: process.execPath, args: [entry, "start", models, ...ports], cwd: ROOT };
}

/** Capstan from its sources. */
export function startCapstan(models: string): Promise<ServerProcess> {
  return startServer(capstanCommand("src/cli/main.ts", models));
}
