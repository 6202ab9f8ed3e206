import { setTimeout } from "node:timers/promises";
import type { Llama, LlamaModel, LlamaModelOptions } from "node-llama-cpp";
import type { Call, ModelSpec } from "../../src/contracts/index.ts";
import { failed } from "./artifact.ts";
import type { LlamaOptions } from "./options.ts";

export type Library = typeof import("node-llama-cpp");
type Device = LlamaOptions["device"];

/**
 * node-llama-cpp, an optional peer.
 * @throws CapstanError LOAD_FAILED with the line that installs it.
 */
export async function importLibrary(
  model: ModelSpec,
  load: () => Promise<Library> = () => import("node-llama-cpp"),
): Promise<Library> {
  try {
    return await load();
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND";
    const why = missing
      ? "framework 'llama-cpp' needs a package that is not installed: npm install node-llama-cpp"
      : `node-llama-cpp does not load: ${(cause as Error).message}`;
    throw failed(model, why, cause);
  }
}

/** The last complaints of llama.cpp, whose errors themselves say little. */
const complaints: string[] = [];

const bindings = new Map<Device, Promise<Llama>>();

/**
 * llama.cpp for a device, from the installed builds: nothing is compiled or downloaded. It is kept for the
 * life of the process, like the native library behind it, which has one logger and one backend; finding it
 * takes half a second.
 */
export async function bindingFor(model: ModelSpec, library: Library, device: Device): Promise<Llama> {
  let binding = bindings.get(device);
  if (binding === undefined) {
    binding = openBinding(library, device);
    bindings.set(device, binding);
    binding.catch(() => bindings.delete(device));
  }
  return binding.catch((cause) => {
    const advice =
      device === "auto" ? "Reinstall node-llama-cpp" : `${buildHint(device)}, or use device "auto"`;
    throw failed(model, `there is no build of llama.cpp for device '${device}' here. ${advice}`, cause);
  });
}

async function openBinding(library: Library, device: Device): Promise<Llama> {
  const llama = await library.getLlama({
    gpu: device === "cpu" ? false : device,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: 0,
    logLevel: library.LlamaLogLevel.error,
    logger: (_level, message) => {
      complaints.push(message.trim());
      complaints.splice(0, complaints.length - 3);
    },
  });
  // Where a platform cannot have a device at all, the library takes the CPU without a word.
  if (device === "auto" || device === "cpu" || llama.gpu === device) return llama;
  await llama.dispose();
  throw new Error(`llama.cpp was opened for ${llama.gpu || "cpu"}`);
}

/** Builds for devices are packages of their own, such as `@node-llama-cpp/linux-x64-cuda`. */
function buildHint(device: Device): string {
  const platform = { darwin: "mac", win32: "win" }[process.platform as string] ?? process.platform;
  const suffix = device === "cpu" ? "" : `-${device}`;
  return `Install its driver and @node-llama-cpp/${platform}-${process.arch}${suffix}`;
}

/** @throws CapstanError LOAD_FAILED with what llama.cpp said; the call's own reason when it was aborted. */
export async function loadModel(
  model: ModelSpec,
  llama: Llama,
  options: LlamaModelOptions,
  { signal }: Call,
): Promise<LlamaModel> {
  complaints.length = 0;
  try {
    return await llama.loadModel({ ...options, loadSignal: signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw failed(model, `llama.cpp cannot load ${options.modelPath}: ${await why(cause)}`, cause);
  }
}

/** The error with what llama.cpp wrote about it, which arrives a moment later. */
export async function why(cause: unknown): Promise<string> {
  await setTimeout(10);
  return [(cause as Error).message, ...complaints].join("; ");
}
