import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type RunningServer, startServer } from "../../src/cli/server.ts";
import { loadServerSettings } from "../../src/settings/load-server.ts";
import { createLog } from "../../src/telemetry/log.ts";
import type { Tracing } from "../../src/telemetry/tracing.ts";

export const SAMPLES = fileURLToPath(new URL("../../model-settings/", import.meta.url));

/** A repository folder of a test's own. */
export class TestRepository implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async create(): Promise<TestRepository> {
    return new TestRepository(await mkdtemp(join(tmpdir(), "capstan-repository-")));
  }

  path(...parts: string[]): string {
    return join(this.root, ...parts);
  }

  /** Copies a sample, under another folder name if one is given. */
  async addSample(sample: string, folder = sample, settings?: Record<string, unknown>): Promise<void> {
    await cp(join(SAMPLES, sample), this.path(folder), { recursive: true });
    if (settings) await this.write(folder, settings);
  }

  /** Writes a folder with settings, and with the model's bytes where there are any. */
  async write(folder: string, settings: unknown, model?: Uint8Array): Promise<void> {
    await mkdir(this.path(folder), { recursive: true });
    if (model) await writeFile(this.path(folder, "model.onnx"), model);
    const text = typeof settings === "string" ? settings : JSON.stringify(settings);
    await writeFile(this.path(folder, "model-settings.json"), text);
  }

  remove(folder: string): Promise<void> {
    return rm(this.path(folder), { recursive: true });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.root, { recursive: true, force: true });
  }
}

export interface TestServer extends AsyncDisposable {
  readonly running: RunningServer;
  readonly url: string;
  request(path: string, init?: RequestInit): Promise<Response>;
  /** POSTs JSON and gives status and parsed answer. */
  post(path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  get(path: string): Promise<{ status: number; body: unknown }>;
}

/** A server in this process on free ports; `settings` are those of settings.json. */
export async function serve(
  root: string,
  settings: Record<string, unknown> = {},
  env: Record<string, string> = {},
  tracing?: Tracing,
): Promise<TestServer> {
  const cache_dir = await mkdtemp(join(tmpdir(), "capstan-cache-"));
  const ports = { http_port: 0, grpc_port: 0, metrics_port: 0 };
  const flags = { ...ports, cache_dir, model_repository_root: root, ...settings };
  const loaded = await loadServerSettings({ cwd: root, env, flags });
  const running = await startServer(
    loaded.settings,
    env,
    await createLog({ level: "silent", pretty: false }),
    undefined,
    tracing,
  );
  const url = `http://127.0.0.1:${running.http.port}`;
  const request = (path: string, init?: RequestInit) => fetch(url + path, init);
  const parsed = async (response: Response) => ({
    status: response.status,
    body: (await response.json()) as unknown,
  });
  return {
    running,
    url,
    request,
    get: async (path) => parsed(await request(path)),
    post: async (path, body = {}) =>
      parsed(
        await request(path, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: typeof body === "string" ? body : JSON.stringify(body),
        }),
      ),
    async [Symbol.asyncDispose]() {
      await running.close();
      await rm(cache_dir, { recursive: true, force: true });
    },
  };
}

/** One iris flower, as a V2 request body. */
export const IRIS_ROW = {
  inputs: [{ name: "X", shape: [1, 4], datatype: "FP32", data: [6.3, 3.4, 5.6, 2.4] }],
};
