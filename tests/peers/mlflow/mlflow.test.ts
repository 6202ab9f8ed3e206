import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { serve, type TestServer } from "../../support/server.ts";
import { pythonWith } from "../python-venv.ts";

/** A request, and what MLflow's scoring server answers to it. */
interface Exchange {
  readonly model: string;
  readonly content_type: string;
  readonly body: string;
  readonly status: number;
  readonly answer: string;
}

const run = promisify(execFile);
const HERE = import.meta.dirname;
const INSTALL_MS = 15 * 60_000;

let folder: string;
let server: TestServer;
let exchanges: Exchange[];

beforeAll(async () => {
  const python = await pythonWith("mlflow-3.17.2", join(HERE, "requirements.txt"));
  folder = await mkdtemp(join(tmpdir(), "capstan-mlflow-"));
  const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true" };
  await run(python, [join(HERE, "exchanges.py"), folder], { env });
  exchanges = JSON.parse(await readFile(join(folder, "exchanges.json"), "utf8"));
  for (const name of new Set(exchanges.map(({ model }) => model))) {
    const settings = { name, implementation: "mlserver_mlflow.MLflowRuntime", parameters: { uri: "./" } };
    await writeFile(join(folder, name, "model-settings.json"), JSON.stringify(settings));
  }
  server = await serve(folder);
}, INSTALL_MS);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  if (folder) await rm(folder, { recursive: true });
});

/** Python writes NaN, which JSON does not have. */
const parsed = (answer: string): unknown => JSON.parse(answer.replaceAll(/\bNaN\b/g, "null"));

it("answers as MLflow's scoring server does", async () => {
  expect(exchanges.length).toBeGreaterThan(30);
  for (const { model, content_type, body, status, answer } of exchanges) {
    const headers = { "content-type": content_type };
    const response = await server.request(`/models/${model}/invocations`, { method: "POST", headers, body });
    const text = await response.text();
    expect(response.status, `${model}: ${body} gave ${text}`).toBe(status);
    if (status === 200) expect(parsed(text), `${model}: ${body}`).toEqual(parsed(answer));
    else expect(parsed(text)).toEqual({ error: expect.any(String) });
  }
});

it("shows the signatures that MLflow inferred", async () => {
  const { body } = await server.get("/v2/models/iris_columns");
  const names = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"];
  const spec = { datatype: "FP64", shape: [-1, 1], parameters: { content_type: "np" } };
  expect((body as { inputs: unknown }).inputs).toEqual(names.map((name) => ({ name, ...spec })));
});
