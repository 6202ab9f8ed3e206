import path from "node:path";
import { startCapstan } from "./capstan.ts";
import { startRemote } from "./remote.ts";
import { isGrpc, type Scenario } from "./scenarios.ts";
import { type Ready, type RunningServer, startServer } from "./server-process.ts";

export interface Surroundings {
  /** The folder with one sub-folder for each model. */
  readonly models: string;
  /** A server of the same models, there when a remote scenario is run. */
  readonly upstream: Ready | undefined;
}

/** A server under measurement. */
export interface BenchServer {
  readonly name: string;
  answers(scenario: Scenario): boolean;
  start(surroundings: Surroundings): Promise<RunningServer>;
}

function startFloor(script: string, argument: string | undefined): Promise<RunningServer> {
  const args = [path.join(import.meta.dirname, script), argument ?? ""];
  return startServer({ file: process.execPath, args });
}

const local = ({ remote }: Scenario) => !remote;

/** The first that answers a scenario is its floor: the others are given as multiples of it. */
export const SERVERS: readonly BenchServer[] = [
  {
    name: "floor",
    answers: (scenario) => local(scenario) && !isGrpc(scenario),
    start: ({ models }) => startFloor("floor.ts", models),
  },
  {
    name: "floor",
    answers: (scenario) => local(scenario) && isGrpc(scenario),
    start: ({ models }) => startFloor("floor-grpc.ts", models),
  },
  { name: "capstan", answers: local, start: ({ models }) => startCapstan(models) },
  {
    name: "pass-through",
    answers: (scenario) => !local(scenario) && !isGrpc(scenario),
    start: ({ upstream }) => startFloor("floor-proxy-http.ts", upstream?.http),
  },
  {
    name: "pass-through",
    answers: (scenario) => !local(scenario) && isGrpc(scenario),
    start: ({ upstream }) => startFloor("floor-proxy-grpc.ts", upstream?.grpc),
  },
  {
    name: "capstan",
    answers: (scenario) => !local(scenario) && !isGrpc(scenario),
    start: ({ models, upstream }) => startRemote(models, `http://${upstream?.http}`),
  },
  {
    name: "capstan",
    answers: (scenario) => !local(scenario) && isGrpc(scenario),
    start: ({ models, upstream }) => startRemote(models, `grpc://${upstream?.grpc}`),
  },
];
