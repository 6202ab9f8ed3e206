import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { aliases, builtInNames, loadPlugin } from "../host/plugins.ts";
import { modelJsonSchema, serverJsonSchema } from "../settings/schemas.ts";

const FOLDER = new URL("../../docs/schemas/", import.meta.url);

/** The published JSON Schemas: text by file name. */
export async function schemaFiles(): Promise<ReadonlyMap<string, string>> {
  const text = (schema: object) => `${JSON.stringify(schema, undefined, 2)}\n`;
  const plugins = { runtimes: await builtIns("runtime"), adapters: await builtIns("adapter") };
  return new Map([
    ["settings.schema.json", text(serverJsonSchema())],
    ["model-settings.schema.json", text(modelJsonSchema(plugins))],
  ]);
}

async function builtIns(kind: "runtime" | "adapter") {
  const names = [...(await builtInNames(kind)), ...aliases(kind)];
  return Promise.all(
    names.map(async (name) => ({ name, options: (await loadPlugin(kind, name, ".")).options })),
  );
}

/** Names of the published files that are not what the code says now. */
export async function staleSchemas(): Promise<string[]> {
  const stale: string[] = [];
  for (const [name, text] of await schemaFiles()) {
    const published = await readFile(new URL(name, FOLDER), "utf8").catch(() => "");
    if (published !== text) stale.push(name);
  }
  return stale;
}

async function writeSchemas(): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  for (const [name, text] of await schemaFiles()) await writeFile(new URL(name, FOLDER), text);
}

/** `node src/cli/schemas.ts` writes docs/schemas; with `--check` it exits 1 when they are out of date. */
async function main(): Promise<void> {
  if (!process.argv.includes("--check")) return writeSchemas();
  const stale = await staleSchemas();
  if (stale.length === 0) return;
  console.error(`${fileURLToPath(FOLDER)}: ${stale.join(", ")} out of date; run: node src/cli/schemas.ts`);
  process.exitCode = 1;
}

if (import.meta.main) await main();
