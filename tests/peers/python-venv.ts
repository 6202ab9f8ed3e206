import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The same folder as in lib.sh: what is installed there is kept between runs. */
const CACHE = process.env.PEERS_CACHE ?? join(homedir(), ".cache/peers");

/**
 * A virtual environment with the packages of a requirements file, made at first use.
 * @param name of the folder; it holds the version, so that another version is another folder.
 * @returns the path of its Python.
 */
export async function pythonWith(name: string, requirements: string): Promise<string> {
  const folder = join(CACHE, name);
  const done = join(folder, ".installed");
  if (!existsSync(done)) {
    await mkdir(folder, { recursive: true });
    await run("python3", ["-m", "venv", folder]);
    await run(join(folder, "bin/pip"), ["install", "-q", "-r", requirements]);
    await writeFile(done, "");
  }
  return join(folder, "bin/python");
}
