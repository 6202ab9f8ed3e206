import { Redis } from "ioredis";
import { expect, it } from "vitest";
import { KeyNews } from "../../src/access/key-news.ts";
import { eventually } from "../support/eventually.ts";
import { FakeRedis } from "../support/redis.ts";

it("every replica hears of a change, and asks again after an outage", async () => {
  await using server = await FakeRedis.start();
  using stack = new DisposableStack();
  const connect = () =>
    stack.adopt(new Redis(server.url, { maxRetriesPerRequest: null }), (redis) => redis.disconnect());
  const heard = [0, 0];
  const news = heard.map((_, replica) => {
    return stack.use(
      new KeyNews(connect(), connect(), () => {
        heard[replica]! += 1;
      }),
    );
  });
  await eventually(() => heard.every((count) => count === 1));
  const before = [...heard];
  await eventually(() => {
    news[0]!.tell();
    return heard.every((count, replica) => count > before[replica]!);
  });
  expect(heard[1]).toBeGreaterThan(before[1]!);
});

it("a Redis that is away fails nothing", async () => {
  const away = () => new Redis("redis://127.0.0.1:1", { maxRetriesPerRequest: 1, retryStrategy: () => null });
  const redis = away();
  redis.on("error", () => {});
  using news = new KeyNews(redis, away(), () => expect.fail("nobody said anything"));
  expect(() => news.tell()).not.toThrow();
  await new Promise((resolve) => redis.once("end", resolve));
});
