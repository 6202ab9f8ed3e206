import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import mlflow from "../../../resolvers/mlflow/index.ts";
import { resolverContract } from "../../../src/testing/index.ts";
import { fetchingHost, fetchWith, locateWith } from "../../resolvers/support/fetching-host.ts";
import { eventually } from "../../support/eventually.ts";
import { serve, TestRepository } from "../../support/server.ts";
import { pythonWith } from "../python-venv.ts";
import { install, type Peer, start } from "../remote/peers.ts";

const run = promisify(execFile);
const HERE = import.meta.dirname;
const INSTALL_MS = 15 * 60_000;

let peer: Peer;
let logged: { run: string; model: string }[];

/** MLflow's own Python client at work. */
async function client(...command: string[]): Promise<string> {
  const python = await pythonWith("mlflow-3.17.2", join(HERE, "../mlflow/requirements.txt"));
  const env = { ...process.env, MLFLOW_DISABLE_TELEMETRY: "true" };
  const { stdout } = await run(python, [join(HERE, "register.py"), peer.http, ...command], { env });
  return stdout.trim().split("\n").at(-1) ?? "";
}

beforeAll(async () => {
  await install("mlflow.sh");
  peer = await start("mlflow.sh");
  logged = JSON.parse(await client("make"));
  await client("alias", "champion", "1");
  await client("stage", "Production", "1");
}, INSTALL_MS);

afterAll(() => peer?.[Symbol.asyncDispose]());

const locate = (uri: string) => locateWith(mlflow, uri, { registry: peer.http });
const fetched = (uri: string) => fetchWith(mlflow, uri, { registry: peer.http });

const MODEL_FILES = ["MLmodel", "conda.yaml", "model.onnx", "python_env.yaml", "requirements.txt"];

describe("a real registry", () => {
  it.each([
    ["models:/scaled@champion", "1"],
    ["models:/scaled/2", "2"],
    ["models:/scaled/Production", "1"],
    ["models:/scaled/latest", "2"],
  ])("%s is version %s", async (uri, version) => {
    expect(await locate(uri)).toMatchObject({ version, location: `models:/scaled/${version}` });
    expect(Object.keys(await fetched(uri)).sort()).toEqual(MODEL_FILES);
  });

  it("gives what a run logged, and the model of a run", async () => {
    const [first] = logged;
    expect(Object.keys(await fetched(`runs:/${first!.run}/notes`))).toEqual(["factor.json"]);
    const model = await locate(`runs:/${first!.run}/model`);
    expect((await locate(`models:/${first!.model}`)).revision).toBe(model.revision);
    expect(Object.keys(await fetched(`runs:/${first!.run}/model`))).toContain("model.onnx");
    expect(Object.keys(await fetched(`${model.location}/model.onnx`))).toEqual(["model.onnx"]);
  });

  it.each(["models:/scaled@nobody", "models:/none@champion", "models:/scaled/99", "models:/scaled/Staging"])(
    "has no %s",
    async (uri) => {
      await expect(locate(uri)).rejects.toMatchObject({ code: "NOT_FOUND" });
    },
  );

  it.each(["runs:/0000/x", "mlflow-artifacts:/nothing", `models:/m-${"0".repeat(32)}`])(
    "has no %s",
    async (uri) => {
      await expect(locate(uri)).rejects.toMatchObject({ code: "NOT_FOUND" });
    },
  );
});

describe("contract", () => {
  const cases = resolverContract(mlflow, {
    get options() {
      return { registry: peer?.http ?? "http://127.0.0.1:1" };
    },
    host: fetchingHost,
    uri: () => `runs:/${logged[0]!.run}/notes`,
    files: { "factor.json": '{\n  "factor": 1\n}' },
    missing: () => "models:/absent@champion",
    malformed: () => "models:/",
  });
  for (const { name, run } of cases) it(name, run);
});

/** The answer of the model for a row of ones. */
async function factor(server: Awaited<ReturnType<typeof serve>>, model: string): Promise<unknown> {
  const inputs = [{ name: "x", shape: [1, 2], datatype: "FP32", data: [1, 1] }];
  const { status, body } = await server.post(`/v2/models/${model}/infer`, { inputs });
  expect(status, JSON.stringify(body)).toBe(200);
  return (body as { outputs: { data: number[] }[] }).outputs[0]!.data[0];
}

it("serves what an alias names, and an alias that moved is another revision", async () => {
  await using repository = await TestRepository.create();
  const settings = (name: string, implementation: string) => ({
    name,
    implementation,
    parameters: { uri: "models:/scaled@champion", extra: { source: { registry: peer.http } } },
  });
  await repository.write("plain", settings("plain", "onnx"));
  await repository.write("signed", settings("signed", "mlserver_mlflow.MLflowRuntime"));
  const before = await locate("models:/scaled@champion");
  {
    await using server = await serve(repository.root);
    expect(await factor(server, "plain")).toBe(1);
    expect(await factor(server, "signed")).toBe(1);
  }
  await client("alias", "champion", "2");
  const after = await locate("models:/scaled@champion");
  expect(after.version).toBe("2");
  expect(after.revision).not.toBe(before.revision);
  await using server = await serve(repository.root);
  expect(await factor(server, "plain")).toBe(2);
  await client("alias", "champion", "1");
  expect(await locate("models:/scaled@champion")).toEqual(before);
});

it("follows an alias and a stage that MLflow's client moves, while a server serves", async () => {
  await using repository = await TestRepository.create();
  const settings = (name: string, uri: string) => ({
    name,
    implementation: "onnx",
    parameters: { uri, extra: { source: { registry: peer.http, poll: "200ms" } } },
  });
  await client("alias", "champion", "1");
  await client("stage", "Production", "1");
  await repository.write("aliased", settings("aliased", "models:/scaled@champion"));
  await repository.write("staged", settings("staged", "models:/scaled/Production"));
  await using server = await serve(repository.root);
  const answers = async () => [await factor(server, "aliased"), await factor(server, "staged")];
  expect(await answers()).toEqual([1, 1]);
  await client("alias", "champion", "2");
  await eventually(async () => (await factor(server, "aliased")) === 2);
  expect(await answers()).toEqual([2, 1]);
  await client("stage", "Production", "2");
  await eventually(async () => (await factor(server, "staged")) === 2);
  expect((await server.post("/v2/models/aliased/rollback")).status).toBe(200);
  expect(await answers()).toEqual([1, 2]);
  await client("alias", "champion", "1");
  await client("stage", "Production", "1");
});

it("reads artifacts that MLflow keeps in S3", async () => {
  await install("s3.sh");
  await using store = await start("s3.sh");
  const credentials = { access_key_id: "test", secret_access_key: "testtest" };
  const config = { accessKeyId: "test", secretAccessKey: "testtest" };
  const s3 = new S3Client({
    endpoint: store.http,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: config,
  });
  await s3.send(new CreateBucketCommand({ Bucket: "models" }));
  await s3.send(new PutObjectCommand({ Bucket: "models", Key: "scaled/MLmodel", Body: "flavors: {}" }));
  s3.destroy();
  await client("source", "s3://models/scaled");
  const options = { registry: peer.http, storage: { endpoint: store.http, ...credentials } };
  expect(await locateWith(mlflow, "models:/scaled/latest", options)).toMatchObject({ version: "3" });
  expect(await fetchWith(mlflow, "models:/scaled/3", options)).toEqual({ MLmodel: "flavors: {}" });
});
