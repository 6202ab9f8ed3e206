import path from "node:path";
import type { Scenario } from "./scenarios.ts";
import { baseUrl, type Command, type Ready } from "./server-process.ts";

export const ROOT = path.dirname(import.meta.dirname);

/** A server under measurement: how to start it, and where it answers a scenario. */
export interface BenchServer {
  readonly name: string;
  /** @param models the folder with one sub-folder for each model. */
  command(models: string): Command;
  url(ready: Ready, scenario: Scenario): string;
}

const v2Url = (ready: Ready, { model }: Scenario) => `${baseUrl(ready.http)}/v2/models/${model}/infer`;

export function capstanCommand(entry: string, models: string): Command {
  const ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
  return { file: process.execPath, args: [entry, "start", models, ...ports], cwd: ROOT };
}

/** The first is the floor: the others are given as multiples of it. */
export const SERVERS: readonly BenchServer[] = [
  {
    name: "floor",
    command: (models) => ({
      file: process.execPath,
      args: [path.join(import.meta.dirname, "floor.ts"), models],
    }),
    url: v2Url,
  },
  { name: "capstan", command: (models) => capstanCommand("src/cli/main.ts", models), url: v2Url },
];
