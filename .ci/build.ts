/**
 * Writes `dist/`: the compiled tree with the same layout as the sources, so that relative imports and the
 * search for plugins work alike in both, and the files that are not TypeScript beside it.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, glob, mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";

const ROOT = path.dirname(import.meta.dirname);
const DIST = path.join(ROOT, "dist");
const FOLDERS = ["src", "runtimes", "adapters", "resolvers", "memory"];

interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
}

function compile(): void {
  const { status, error } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** Proto files, generated JavaScript and its declarations. */
async function copyAssets(): Promise<void> {
  for await (const entry of glob(`{${FOLDERS}}/**/*`, { cwd: ROOT, withFileTypes: true })) {
    const source = path.join(entry.parentPath, entry.name);
    if (!entry.isFile() || /(?<!\.d)\.ts$/.test(entry.name)) continue;
    const target = path.join(DIST, path.relative(ROOT, source));
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(source, target);
  }
}

/** What the API pages load: the packages they come from are not installed with this one. */
async function copyPages(): Promise<void> {
  const { ASSETS, assetPath } = (await import(
    "../src/http/docs/assets.ts"
  )) as typeof import("../src/http/docs/assets.ts");
  const folder = path.join(DIST, "src", "http", "docs", "assets");
  await mkdir(folder, { recursive: true });
  for (const [name, [from]] of Object.entries(ASSETS)) {
    const source = assetPath(name);
    await copyFile(source, path.join(folder, name));
    await copyNotices(from, source, folder);
  }
}

/** What the licences of these packages ask to be passed on. */
async function copyNotices(from: string, source: string, folder: string): Promise<void> {
  const bundled = `${source}.LICENSE.txt`;
  if (existsSync(bundled)) await copyFile(bundled, path.join(folder, path.basename(bundled)));
  for (const name of ["LICENSE", "NOTICE"]) {
    const file = path.join(ROOT, "node_modules", from, name);
    if (existsSync(file)) await copyFile(file, path.join(folder, `${from}.${name}`));
  }
}

async function makeExecutable({ bin }: Manifest): Promise<void> {
  for (const target of Object.values(bin)) {
    const file = path.join(ROOT, target);
    const text = await readFile(file, "utf8");
    if (!text.startsWith("#!/usr/bin/env node\n")) throw new Error(`${target} has no "#!/usr/bin/env node"`);
    await chmod(file, 0o755);
  }
}

const manifest = JSON.parse(await readFile(path.join(ROOT, "package.json"), "utf8")) as Manifest;
await rm(DIST, { recursive: true, force: true });
compile();
await copyAssets();
await copyPages();
await makeExecutable(manifest);
