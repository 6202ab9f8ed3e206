import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { redisStore } from "../../../src/records/completions/stores.ts";
import { completionStoreSuite } from "../../support/completion-stores.ts";
import { serveLlms } from "../../support/scripted-llm.ts";
import { startRedis } from "../gateway/peers.ts";

completionStoreSuite("a real Redis", async (opened) => {
  const redis = new Redis(opened.use(await startRedis()).url);
  opened.defer(() => redis.disconnect());
  return redisStore(redis);
});

it("has answers for all replicas, and none fails when it is gone", async () => {
  const redis = await startRedis();
  await using opened = new AsyncDisposableStack();
  opened.use(redis);
  const settings = { completion_cache: { store: "redis" }, redis_url: redis.url };
  const replicas = [opened.use(await serveLlms(settings)), opened.use(await serveLlms(settings))];
  const ask = async (replica: number, prompt: string) => {
    const response = await replicas[replica]!.server.request("/v1/generate", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "echo", prompt, temperature: 0 }),
    });
    return [response.status, response.headers.get("x-capstan-cache")];
  };
  expect(await ask(0, "a")).toEqual([200, "miss"]);
  await expect.poll(() => ask(1, "a")).toEqual([200, "hit"]);
  await redis.crash();
  expect(await ask(0, "a")).toEqual([200, "miss"]);
  expect(await ask(1, "b")).toEqual([200, "miss"]);
});
