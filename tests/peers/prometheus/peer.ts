import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { DEPLOY } from "../../deploy/manifests.ts";

const run = promisify(execFile);
const SCRIPT = path.join(path.dirname(import.meta.dirname), "prometheus.sh");

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

/** A Prometheus of a test's own, which scrapes each second with the configuration of deploy/. */
export class Prometheus implements AsyncDisposable {
  readonly url: string;
  readonly #runs: string;

  private constructor(url: string, runs: string) {
    this.url = url;
    this.#runs = runs;
  }

  /** @param targets what stands in for the addresses of the configuration. */
  static async start(targets: Readonly<Record<string, string>>): Promise<Prometheus> {
    const runs = await mkdtemp(path.join(tmpdir(), "prometheus-peer-"));
    const config = path.join(runs, "prometheus.yml");
    await writeFile(config, await configFor(targets));
    return new Prometheus(await script(runs, "start", config), runs);
  }

  /** The series of a query over the last minutes. @throws Error with what Prometheus says of it. */
  async query(query: string, step = 1): Promise<readonly Series[]> {
    const now = Date.now() / 1000;
    const { result } = await this.#get<{ result: readonly Series[] }>("query_range", {
      query,
      start: now - 120,
      end: now,
      step,
    });
    return result;
  }

  async labelValues(label: string, metric: string): Promise<readonly string[]> {
    return this.#get(`label/${label}/values`, { "match[]": metric });
  }

  async rules(): Promise<
    readonly { readonly name: string; readonly state: string; readonly health: string }[]
  > {
    const { groups } = await this.#get<{ groups: { rules: [] }[] }>("rules", {});
    return groups.flatMap(({ rules }) => rules);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await script(this.#runs, "stop");
    await rm(this.#runs, { recursive: true, force: true });
  }

  async #get<T>(api: string, parameters: Readonly<Record<string, string | number>>): Promise<T> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) search.set(name, String(value));
    const response = await fetch(`${this.url}/api/v1/${api}?${search}`);
    const { data, error } = (await response.json()) as { data: T; error?: string };
    if (error !== undefined) throw new Error(`${api} ${JSON.stringify(parameters)}: ${error}`);
    return data;
  }
}

async function configFor(targets: Readonly<Record<string, string>>): Promise<string> {
  let text = await readFile(path.join(DEPLOY, "prometheus", "prometheus.yml"), "utf8");
  text = text.replaceAll(/(scrape|evaluation)_interval: \w+/g, "$1_interval: 1s");
  text = text.replace("- alerts.yml", `- ${path.join(DEPLOY, "prometheus", "alerts.yml")}`);
  for (const [address, own] of Object.entries(targets)) text = text.replace(`"${address}"`, `"${own}"`);
  return text;
}

async function script(runs: string, ...command: string[]): Promise<string> {
  const env = { ...process.env, PEERS_RUN: runs };
  return (await run(SCRIPT, command, { env })).stdout.trim();
}

/** What promtool says of files, or of its input; rejects when it is not content. */
export async function promtool(command: readonly string[], input = ""): Promise<string> {
  await run(SCRIPT, ["install"]);
  const running = run("promtool", [...command]);
  running.child.stdin?.end(input);
  const { stdout, stderr } = await running;
  return stdout + stderr;
}
