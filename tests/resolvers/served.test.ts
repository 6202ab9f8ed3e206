import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { onnxModel } from "../support/onnx-model.ts";
import { serve, TestRepository } from "../support/server.ts";
import { tgzOf } from "./support/archives.ts";
import { FakeMlflow } from "./support/fake-mlflow.ts";
import { FakeS3 } from "./support/fake-s3.ts";
import { FakeUnityCatalog } from "./support/fake-unity-catalog.ts";
import { FileServer, file, sha256, status } from "./support/file-server.ts";

/** y = -x */
const negate = onnxModel({
  inputs: [{ name: "x", datatype: "FP32", shape: ["n"] }],
  outputs: [{ name: "y", datatype: "FP32", shape: ["n"] }],
  nodes: [{ op: "Neg", inputs: ["x"], outputs: ["y"] }],
});

let web: FileServer;
let s3: FakeS3;
let mlflow: FakeMlflow;
let catalog: FakeUnityCatalog;
let repository: TestRepository;

beforeAll(async () => {
  web = await FileServer.start();
  s3 = await FakeS3.start();
  mlflow = await FakeMlflow.start();
  catalog = await FakeUnityCatalog.start();
  repository = await TestRepository.create();
});

afterAll(async () => {
  for (const each of [web, s3, mlflow, catalog, repository]) await each?.[Symbol.asyncDispose]();
});

async function answerOf(name: string, uri: string, source: Record<string, unknown>) {
  const parameters = { uri, extra: { source } };
  await repository.write(name, { name, implementation: "onnx", parameters });
  await using server = await serve(repository.root);
  await repository.remove(name);
  const inputs = [{ name: "x", shape: [1], datatype: "FP32", data: [3] }];
  const { body } = await server.post(`/v2/models/${name}/infer`, { inputs });
  return body;
}

const NEGATED = { outputs: [{ data: [-3] }] };

it("serves a model behind http, pinned", async () => {
  web.routes.set(
    "/negate.onnx",
    file(() => negate),
  );
  const uri = `${web.url("/negate.onnx")}#sha256=${sha256(negate)}`;
  expect(await answerOf("pinned", uri, { allow_private: true })).toMatchObject(NEGATED);
});

it("serves a model in an archive", async () => {
  const archive = tgzOf({ path: "negate/model.onnx", content: negate });
  web.routes.set(
    "/negate.tgz",
    file(() => archive),
  );
  const source = { allow_private: true, strip_components: 1 };
  expect(await answerOf("packed", web.url("/negate.tgz"), source)).toMatchObject(NEGATED);
});

it("serves the highest version of a folder", async () => {
  await repository.write("files/.versions/2", {}, negate);
  const uri = pathToFileURL(repository.path("files/.versions")).href;
  expect(await answerOf("versions", uri, { settle: "0" })).toMatchObject(NEGATED);
});

it("serves a model of a Unity Catalog and one of MLflow", async () => {
  const storage_location = pathToFileURL(repository.path("files/.versions/2")).href;
  catalog.versions = [{ version: 1, storage_location }];
  expect(await answerOf("cataloged", "uc://main.ml.iris/1", { registry: catalog.registry })).toMatchObject(
    NEGATED,
  );
  mlflow.artifactUri = storage_location;
  expect(await answerOf("registered", "models:/iris@champion", { registry: mlflow.registry })).toMatchObject(
    NEGATED,
  );
});

it("says why a model behind a broken source is not there", async () => {
  web.routes.set("/gone.onnx", status(500));
  const inert = { allow_private: true };
  expect(await answerOf("broken", web.url("/gone.onnx"), inert)).toEqual({
    error: expect.stringContaining("answered 500"),
  });
  expect(await answerOf("typo", web.url("/gone.onnx"), { allow_privat: true })).toEqual({
    error: expect.stringContaining("allow_privat"),
  });
  expect(await answerOf("absent", "s3://models/absent", s3.options)).toEqual({
    error: expect.stringContaining("There is nothing at s3://models/absent"),
  });
});
