import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ROOT, startCapstan } from "../capstan.ts";
import type { RunningServer } from "../server-process.ts";
import type { Files } from "./registry.ts";

/** A model of onnxruntime, and a language model whose every token says the version it is of. */
export const MODELS = ["iris", "teller"] as const;
export type Model = (typeof MODELS)[number];

/** Code on a thread, beside the models that are promoted: each load of it starts a thread. */
export const APART = "apart";

/** Tokens of one answer of the teller, and the pause before each. */
const TOKENS = 20;
const TOKEN_MS = 5;

const TELLER = `
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
const options = { shape: {}, safeParse: (data) => ({ success: true, data }) };
async function load({ artifact }) {
  const version = (await readFile(join(artifact, "version.txt"), "utf8")).trim();
  return {
    async *streamTokens(request, call) {
      for (let token = 0; token < ${TOKENS}; token++) {
        await sleep(${TOKEN_MS});
        call.signal.throwIfAborted();
        yield { type: "text", choice: 0, text: version + " " };
      }
      yield { type: "finish", choice: 0, reason: "stop", usage: { inputTokens: 1, outputTokens: ${TOKENS} } };
    },
    async [Symbol.asyncDispose]() {},
  };
}
export default { kind: "adapter", name: "teller", options, load };
`;

/** The sample's forest for every version, beside a file that makes its content another. */
export async function versionFiles(): Promise<(model: string, version: number) => Files> {
  const forest = await readFile(path.join(ROOT, "model-settings/iris/model.onnx"));
  return (model, version): Files => {
    const text = Buffer.from(`${version}\n`);
    return model === "iris" ? { "model.onnx": forest, "version.txt": text } : { "version.txt": text };
  };
}

/** A server whose models follow the aliases of a registry. Its files and its cache go when it stops. */
export async function startFollower(registry: string, poll: string): Promise<RunningServer> {
  const folder = await mkdtemp(path.join(tmpdir(), "capstan-reload-"));
  const source = { registry, poll };
  const files = {
    "models/settings.json": { cache_dir: path.join(folder, "cache") },
    "models/iris/model-settings.json": {
      name: "iris",
      implementation: "onnx",
      parameters: { uri: "models:/iris@champion", extra: { source } },
    },
    "models/teller/model-settings.json": {
      name: "teller",
      implementation: "llm",
      parameters: { uri: "models:/teller@champion", extra: { framework: "./teller.mjs", source } },
    },
    "models/teller/teller.mjs": TELLER,
    [`models/${APART}/model-settings.json`]: {
      name: APART,
      implementation: "module",
      parameters: { extra: { module: "./code.ts", isolation: "thread" } },
    },
    [`models/${APART}/code.ts`]: `export default () => ({ outputs: [{ name: "y", data: [1] }] })`,
  };
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    for (const [file, content] of Object.entries(files)) {
      const target = path.join(folder, file);
      await mkdir(path.dirname(target), { recursive: true });
      await writeFile(target, typeof content === "string" ? content : JSON.stringify(content));
    }
    const server = await startCapstan(path.join(folder, "models"));
    return { ...server, stop: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}
