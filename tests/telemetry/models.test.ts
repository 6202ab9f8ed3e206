import { afterAll, beforeAll, expect, it } from "vitest";
import { Scrape } from "../support/metrics.ts";
import { IRIS_ROW, serve, TestRepository, type TestServer } from "../support/server.ts";

let repository: TestRepository;
let server: TestServer;
beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.addSample("iris");
  const iris = { implementation: "onnx", parameters: { uri: "./model.onnx", extra: {} } };
  const admission = { max_concurrency: 1, max_queue: 8 };
  await repository.addSample("iris", "queued", {
    ...iris,
    name: "queued",
    parameters: { uri: "./model.onnx", extra: { admission } },
  });
  await repository.addSample("iris", "batched", { ...iris, name: "batched", max_batch_size: 8 });
  await repository.addSample("iris", "kept", { ...iris, name: "kept", cache_enabled: true });
  await repository.addSample("iris", "isolated", {
    ...iris,
    name: "isolated",
    parameters: { uri: "./model.onnx", extra: { isolation: "thread" } },
  });
  await repository.addSample("iris", "apart", {
    ...iris,
    name: "apart",
    parameters: { uri: "./model.onnx", extra: { isolation: "process", workers: 2 } },
  });
  server = await serve(repository.root, { cache_enabled: true });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const scrape = () => Scrape.of(server.request);
async function infer(model: string, times: number): Promise<void> {
  const asking = Array.from({ length: times }, () => server.post(`/v2/models/${model}/infer`, IRIS_ROW));
  for (const { status } of await Promise.all(asking)) expect(status).toBe(200);
}

it("counts answers and failures of each version with MLServer's names", async () => {
  await infer("iris", 2);
  await server.post("/v2/models/iris/infer", { inputs: [{ ...IRIS_ROW.inputs[0], name: "unknown" }] });
  const found = await scrape();
  expect(found.value("model_infer_request_success_total", { model: "iris" })).toBe(2);
  expect(found.value("model_infer_request_failure_total", { model: "iris" })).toBe(1);
  expect(found.value("model_infer_request_duration_count", { model: "iris" })).toBe(3);
  const path = "/v2/models/:model/infer";
  expect(found.value("rest_server_requests_total", { path, status_code: "200" })).toBe(2);
  expect(found.value("rest_server_requests_total", { path, status_code: "400" })).toBe(1);
});

it("tells how long requests wait for their turn, and how many", async () => {
  await infer("queued", 4);
  const found = await scrape();
  expect(found.value("capstan_model_queue_seconds_count", { model: "queued" })).toBe(4);
  expect(found.value("capstan_model_queue_length", { model: "queued" })).toBe(0);
  expect(found.value("capstan_model_active_requests", { model: "queued" })).toBe(0);
});

it("tells the sizes of batches and of the queues that they are made of", async () => {
  await infer("batched", 6);
  const found = await scrape();
  expect(found.value("capstan_model_batch_size_sum", { model: "batched" })).toBe(6);
  const labels = { model_name: "batched" };
  expect(found.value("batch_request_queue_count", labels)).toBeGreaterThan(0);
  expect(found.value("batch_request_queue_sum", labels)).toBeGreaterThanOrEqual(6);
});

it("counts kept answers, hits and misses", async () => {
  await infer("kept", 1);
  await infer("kept", 2);
  const found = await scrape();
  const of = (result: string) =>
    found.value("capstan_response_cache_requests_total", { model: "kept", result });
  expect(of("hit")).toBe(2);
  expect(of("miss")).toBe(1);
  expect(found.value("capstan_response_cache_requests_total", { model: "iris" })).toBeUndefined();
});

it("tells the queues of isolated models' workers", async () => {
  const count = async () =>
    (await scrape()).value("parallel_request_queue_count", { model_name: "isolated" });
  const before = (await count())!;
  await infer("isolated", 3);
  expect(await count()).toBe(before + 3);
});

it.runIf(process.platform === "linux")("tells the memory of a model that runs in processes", async () => {
  await infer("apart", 1);
  const found = await scrape();
  expect(found.value("capstan_model_process_memory_bytes", { model: "apart" })).toBeGreaterThan(20e6);
  expect(found.value("capstan_model_workers", { model: "apart" })).toBe(2);
  expect(found.value("capstan_model_worker_failures_total", { model: "apart" })).toBe(0);
  expect(found.value("capstan_model_workers", { model: "isolated" })).toBe(1);
  expect(found.value("capstan_model_process_memory_bytes", { model: "isolated" })).toBeUndefined();
});

it("tells the size of a model's files", async () => {
  expect((await scrape()).value("capstan_model_artifact_bytes", { model: "iris" })).toBeGreaterThan(1000);
});

it("gives no series to models and paths that a caller makes up", async () => {
  await server.post("/v2/models/made-up/infer", IRIS_ROW);
  await server.post("/v2/models/iris/versions/made-up/infer", IRIS_ROW);
  await server.request("/made-up");
  expect((await scrape()).text).not.toContain("made-up");
});
