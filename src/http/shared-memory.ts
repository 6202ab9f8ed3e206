import { CapstanError } from "../contracts/index.ts";
import type { Method, Route } from "./route.ts";

const MESSAGE =
  "This server does not use shared memory: send tensors in the request's body, with binary_data_size";

/** The paths of V2's shared memory extensions, by method. */
const PATHS: readonly (readonly [Method, string])[] = [
  ["GET", "status"],
  ["GET", "region/:region/status"],
  ["POST", "region/:region/register"],
  ["POST", "region/:region/unregister"],
  ["POST", "unregister"],
];

/** Routes that are there so that a client gets a sentence: 501, as over gRPC. */
export const sharedMemoryRoutes: Route[] = ["systemsharedmemory", "cudasharedmemory"].flatMap((kind) =>
  PATHS.map(([method, path]) => ({ method, path: `/v2/${kind}/${path}`, handle: refuse })),
);

function refuse(): never {
  throw new CapstanError("UNSUPPORTED", MESSAGE);
}
