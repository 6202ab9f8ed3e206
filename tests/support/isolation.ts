import type { CapLLM, Log, ModelSpec, Runtime } from "../../src/contracts/index.ts";
import { ModelGraph } from "../../src/host/model-graph.ts";
import { PluginHost, type PluginHostParts } from "../../src/host/plugin-host.ts";
import { loadPlugin } from "../../src/host/plugins.ts";
import type { DataPlane } from "../../src/host/types.ts";
import { testCall } from "../../src/testing/index.ts";

export interface Line {
  readonly level: keyof Log;
  readonly fields: object;
  readonly text: string;
}

/** A log that keeps its lines. */
export function keptLog(): { log: Log; lines: Line[] } {
  const lines: Line[] = [];
  const line = (level: keyof Log) => (fields: object, text: string) =>
    void lines.push({ level, fields, text });
  return {
    lines,
    log: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
  };
}

export interface HostOptions {
  /** As in parameters.extra: `isolation`, `workers`, `source`. */
  readonly extra?: PluginHostParts["model"]["extra"];
  readonly plane?: Partial<DataPlane>;
  readonly parallelWorkers?: number;
  readonly log?: Log;
}

/** The host of one model in a folder. */
export function pluginHost(folder: string, options: HostOptions = {}): PluginHost {
  return new PluginHost({
    model: { name: "m", version: "1", extra: options.extra ?? {}, maxBatchSize: 0 },
    folder,
    layers: [],
    graph: new ModelGraph(),
    plane: () => options.plane as DataPlane,
    resources: new AsyncDisposableStack(),
    parallelWorkers: options.parallelWorkers ?? 1,
    log: options.log ?? testCall().log,
  });
}

export const spec = (folder: string, more: Partial<ModelSpec> = {}): ModelSpec => ({
  name: "m",
  version: "1",
  folder,
  ...more,
});

/** A model as the server loads it: `extra` says where. */
export async function loadRuntime(
  name: string,
  model: ModelSpec,
  pluginOptions: unknown,
  options: HostOptions = {},
  call = testCall(),
): Promise<Runtime> {
  const plugin = await loadPlugin("runtime", name, model.folder);
  const implementation = { name, plugin, options: pluginOptions, place: "parameters.extra" };
  return pluginHost(model.folder, options).load(implementation, model, call);
}

export function loadAdapter(
  name: string,
  model: ModelSpec,
  pluginOptions: unknown,
  options: HostOptions = {},
  call = testCall(),
): Promise<CapLLM> {
  return pluginHost(model.folder, options).adapter(name, model, pluginOptions, call);
}
