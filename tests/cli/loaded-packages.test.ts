import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { TestRepository } from "../support/server.ts";

const script = fileURLToPath(new URL("../fixtures/loaded-packages.ts", import.meta.url));

it("a server of ONNX models loads no library of language models, applications, databases or tracing", async () => {
  await using repository = await TestRepository.create();
  await repository.addSample("iris");
  const { stdout } = await promisify(execFile)(process.execPath, [script, repository.root]);
  const { status, packages } = JSON.parse(stdout) as { status: number; packages: string[] };
  expect(status).toBe(200);
  expect(packages).toContain("onnxruntime-node");
  const models = /langchain|langgraph|langsmith|llamaindex|node-llama-cpp|transformers|^openai$|esbuild/;
  const records =
    /^kysely$|^pg$|^ioredis$|^rate-limiter-flexible$|^@databricks|^@aws-sdk|^@opentelemetry\/sdk/;
  expect(packages.filter((name) => models.test(name) || records.test(name))).toEqual([]);
});
