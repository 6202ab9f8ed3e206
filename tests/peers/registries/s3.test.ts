import { CreateBucketCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import s3 from "../../../resolvers/s3/index.ts";
import { resolverContract } from "../../../src/testing/index.ts";
import { fetchWith, locateWith } from "../../resolvers/support/fetching-host.ts";
import { eventually } from "../../support/eventually.ts";
import { onnxModel } from "../../support/onnx-model.ts";
import { serve, TestRepository } from "../../support/server.ts";
import { install, type Peer, start } from "../remote/peers.ts";

let peer: Peer;
let client: S3Client;

const options = () => ({
  endpoint: peer?.http ?? "http://127.0.0.1:1",
  access_key_id: "test",
  secret_access_key: "testtest",
  settle: "0",
});
const locate = (uri: string) => locateWith(s3, uri, options());

const put = (Key: string, Body: string | Uint8Array) =>
  client.send(new PutObjectCommand({ Bucket: "models", Key, Body }));

beforeAll(async () => {
  await install("s3.sh");
  peer = await start("s3.sh");
  client = new S3Client({
    endpoint: peer.http,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId: "test", secretAccessKey: "testtest" },
  });
  await client.send(new CreateBucketCommand({ Bucket: "models" }));
  await put("iris/model.onnx", "weights");
  await put("iris/more/é & notes.txt", "text");
}, 600_000);

afterAll(async () => {
  client?.destroy();
  await peer?.[Symbol.asyncDispose]();
});

describe("contract", () => {
  const cases = resolverContract(s3, {
    get options() {
      return options();
    },
    uri: () => "s3://models/iris",
    files: { "model.onnx": "weights", "more/é & notes.txt": "text" },
    missing: () => "s3://models/absent",
    malformed: () => "s3://A",
    change: async () => void (await put("iris/model.onnx", "other weights")),
  });
  for (const { name, run } of cases) it(name, run);
});

it("has no such bucket", async () => {
  await expect(locate("s3://absent/iris")).rejects.toMatchObject({ code: "NOT_FOUND" });
});

it("lists more than a page", async () => {
  for (let index = 0; index < 1050; index += 50) {
    await Promise.all(
      Array.from({ length: 50 }, (_, at) => put(`many/${index + at}.bin`, String(index + at))),
    );
  }
  expect(Object.keys(await fetchWith(s3, "s3://models/many", options()))).toHaveLength(1050);
});

it("serves the highest version, and the next one when it is there", async () => {
  const graph = (op: string) =>
    onnxModel({
      inputs: [{ name: "x", datatype: "FP32", shape: ["n"] }],
      outputs: [{ name: "y", datatype: "FP32", shape: ["n"] }],
      nodes: [{ op, inputs: ["x"], outputs: ["y"] }],
    });
  await put("versions/2/model.onnx", graph("Identity"));
  await put("versions/10/model.onnx", graph("Neg"));
  expect(await locate("s3://models/versions")).toMatchObject({ version: "10" });
  await using repository = await TestRepository.create();
  const source = { ...options(), poll: "200ms" };
  const parameters = { uri: "s3://models/versions", extra: { source } };
  await repository.write("negated", { name: "negated", implementation: "onnx", parameters });
  await using server = await serve(repository.root);
  const inputs = [{ name: "x", shape: [1], datatype: "FP32", data: [3] }];
  const answer = async () => (await server.post("/v2/models/negated/infer", { inputs })).body;
  expect(await answer()).toMatchObject({ model_version: "10", outputs: [{ data: [-3] }] });
  await put("versions/11/model.onnx", graph("Abs"));
  await eventually(async () => ((await answer()) as { model_version: string }).model_version === "11");
  expect(await answer()).toMatchObject({ outputs: [{ data: [3] }] });
});
