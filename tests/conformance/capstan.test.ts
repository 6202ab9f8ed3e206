import { cp } from "node:fs/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeReferenceModels } from "../../src/conformance/reference-model.ts";
import { runSuite } from "../../src/conformance/run.ts";
import type { Report, Result } from "../../src/conformance/types.ts";
import { serve, TestRepository } from "../support/server.ts";

let repository: TestRepository;
let report: Report;
beforeAll(async () => {
  repository = await TestRepository.create();
  await writeReferenceModels(repository.root);
  await cp(repository.path("v2_identity"), repository.path("v2_identity-2"), { recursive: true });
  await repository.write("v2_identity-2", {
    name: "v2_identity",
    implementation: "onnx",
    parameters: { uri: "./model.onnx", version: "2" },
  });
  const extra = { framework: "echo" };
  await repository.write("echo", { name: "echo", implementation: "llm", parameters: { extra } });
  await using server = await serve(repository.root);
  const grpc = `127.0.0.1:${server.running.grpc.port}`;
  report = await runSuite({ url: server.url, grpc, mayWrite: true, timeoutMs: 15_000, headers: {} });
});
afterAll(() => repository[Symbol.asyncDispose]());

const idsOf = (outcome: Result["outcome"]) =>
  report.results.filter((result) => result.outcome === outcome).map(({ id }) => id);

it("passes every check of the suite, the recommendations included", () => {
  expect(idsOf("fail")).toEqual([]);
  expect(idsOf("warn")).toEqual([]);
  expect(idsOf("not-applicable")).toEqual([]);
  expect(idsOf("pass").length).toBeGreaterThan(190);
});
