import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const SCRIPT = path.join(path.dirname(import.meta.dirname), "dbsql-gateway.sh");

/** Spark with Delta tables behind what Databricks' driver speaks to. */
export interface TestWarehouse extends AsyncDisposable {
  /** What the store needs to know of it, without table and journal. */
  readonly options: {
    readonly host: string;
    readonly port: number;
    readonly path: string;
    readonly token: string;
    readonly ca: string;
  };
}

/** Starts it, installing it when it is not there. */
export async function startWarehouse(): Promise<TestWarehouse> {
  const script = async (command: string) => (await run(SCRIPT, [command])).stdout.trim();
  const { hostname, port, pathname } = new URL(await script("start"));
  return {
    options: { host: hostname, port: Number(port), path: pathname, token: "tok", ca: await script("ca") },
    async [Symbol.asyncDispose]() {
      await script("stop");
    },
  };
}
