import { afterAll, beforeAll, expect, it } from "vitest";
import { ADMIN, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { Scrape } from "../support/metrics.ts";
import type { TestRepository } from "../support/server.ts";

let repository: TestRepository;
let access: TestAccess;
beforeAll(async () => {
  repository = await modelsForKeys();
  access = await TestAccess.start(repository.root, `sqlite:${repository.path("records.db")}`, {
    inference_log: { enabled: true },
    completion_cache: { store: "memory" },
  });
});
afterAll(async () => {
  await access[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const scrape = () => Scrape.of(access.server.request);
const refusals = async (reason: string) =>
  (await scrape()).value("capstan_access_refusals_total", { reason }) ?? 0;

it.each([
  ["requests_per_minute", { requestsPerMinute: 1 }],
  ["month", { requestsPerMonth: 1 }],
])("counts refusals of a role's %s", async (reason, limits) => {
  const { key } = await access.keyWith(limits);
  expect((await access.chat(key)).status).toBe(200);
  expect((await access.chat(key)).status).toBe(429);
  expect(await refusals(reason)).toBe(1);
});

it("counts refusals of tokens, of requests that are too large, and of places", async () => {
  const tokens = await access.keyWith({ tokensPerMinute: 20 });
  await access.chat(tokens.key);
  expect((await access.chat(tokens.key, { max_tokens: 18 })).status).toBe(429);
  expect(await refusals("tokens_per_minute")).toBe(1);
  expect((await access.chat(tokens.key, { max_tokens: 500 })).status).toBe(400);
  expect(await refusals("request_size")).toBe(1);
  const one = await access.keyWith({ concurrency: 1 });
  const slow = { model: "slow", max_tokens: 20 };
  const statuses = await Promise.all([access.chat(one.key, slow), access.chat(one.key, slow)]);
  expect(statuses.map(({ status }) => status).sort()).toEqual([200, 429]);
  expect(await refusals("concurrency")).toBe(1);
});

it("counts keys that are not known, and models that a role does not have", async () => {
  expect((await access.chat("no-key-of-anybody")).status).toBe(401);
  expect(await refusals("unauthenticated")).toBe(1);
  const { key } = await access.keyWith({ models: ["iris"] });
  expect((await access.chat(key)).status).toBe(403);
  expect((await access.get(key, "/v2/models/echo")).status).toBe(403);
  expect(await refusals("model")).toBe(2);
  expect(
    (await scrape()).value("llm_gateway_errors_total", { model: "echo", code: "PERMISSION_DENIED" }),
  ).toBe(1);
});

it("counts kept answers of language models", async () => {
  const body = { temperature: 0, messages: [{ role: "user", content: "again" }] };
  await access.chat(ADMIN, body);
  await access.chat(ADMIN, body);
  const found = await scrape();
  expect(found.value("capstan_completion_cache_requests_total", { result: "hit" })).toBe(1);
  expect(found.value("capstan_completion_cache_requests_total", { result: "miss" })).toBe(1);
  expect(found.value("capstan_completion_cache_stored_total")).toBe(1);
  expect(found.value("capstan_completion_cache_failures_total")).toBe(0);
});

it("counts the rows of the inference log by what became of them", async () => {
  await access.chat(ADMIN);
  await eventually(async () => (await scrape()).value("capstan_inference_log_pending_rows") === 0);
  const found = await scrape();
  expect(found.value("capstan_inference_log_rows_total", { outcome: "written" })).toBeGreaterThan(1);
  expect(found.value("capstan_inference_log_rows_total", { outcome: "lost" })).toBe(0);
});
