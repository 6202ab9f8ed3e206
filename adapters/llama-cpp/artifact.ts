import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CapstanError, type ModelSpec } from "../../src/contracts/index.ts";

/**
 * The GGUF file of a model: the artifact itself, or the only one in it. Of a file in parts
 * (`-00001-of-00003.gguf`), the first.
 * @throws CapstanError LOAD_FAILED when there is none, more than one to choose from, or it is not GGUF.
 */
export async function ggufFile(model: ModelSpec): Promise<string> {
  if (model.artifact === undefined) {
    throw failed(model, "parameters.uri is missing: point it at a .gguf file or at a folder that holds one");
  }
  const info = await stat(model.artifact).catch((cause: Error) => {
    throw failed(model, `cannot read ${model.artifact}: ${cause.message}`, cause);
  });
  const file = info.isDirectory() ? await fileInFolder(model, model.artifact) : model.artifact;
  await requireMagic(model, file);
  return file;
}

const LATER_PART = /-(?!00001-)\d{5}-of-\d{5}\.gguf$/;

async function fileInFolder(model: ModelSpec, folder: string): Promise<string> {
  const names = await readdir(folder);
  const files = names.filter((name) => name.endsWith(".gguf") && !LATER_PART.test(name)).sort();
  if (files.length === 1) return join(folder, files[0]!);
  if (files.length === 0) throw failed(model, `there is no .gguf file in ${folder}`);
  throw failed(model, `${folder} holds ${files.join(", ")}: let parameters.uri name one`);
}

/** A file that Git LFS left as a pointer, or an HTML page, is told by its first bytes. */
async function requireMagic(model: ModelSpec, file: string): Promise<void> {
  await using handle = await open(file);
  const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
  if (buffer.toString("latin1") === "GGUF") return;
  throw failed(model, `${file} is not a GGUF file: its first bytes are not "GGUF"`);
}

/** LOAD_FAILED with the model's name in front. */
export function failed(model: ModelSpec, what: string, cause?: unknown): CapstanError {
  return new CapstanError("LOAD_FAILED", `Model '${model.name}': ${what}`, { cause });
}
