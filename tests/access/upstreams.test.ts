import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { usageIn } from "../../src/access/told-usage.ts";
import { modelsForKeys, TestAccess, type TestKey } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { event, OpenaiUpstream, packets, reply, stalls } from "../support/openai-upstream.ts";
import type { TestRepository } from "../support/server.ts";

let repository: TestRepository;
let upstream: OpenaiUpstream;
let access: TestAccess;
beforeAll(async () => {
  repository = await modelsForKeys();
  upstream = await OpenaiUpstream.start();
  const extra = { framework: "openai", base_url: upstream.origin, max_retries: 0 };
  await repository.write("up", { name: "up", implementation: "llm", parameters: { extra } });
  const url = `sqlite:${repository.path("upstreams.db")}`;
  access = await TestAccess.start(repository.root, url, { completion_cache: { store: "memory", ttl: "1h" } });
});
afterAll(async () => {
  for (const each of [access, upstream, repository]) await each[Symbol.asyncDispose]();
});

/** With tools of the upstream's own, so that it answers by itself. */
const responses = ({ key }: TestKey, more: object = {}, signal?: AbortSignal) => {
  const tools = [{ type: "web_search" }];
  return access.post(key, "/v1/responses", { model: "up", input: "x".repeat(40), tools, ...more }, signal);
};
const image = ({ key }: TestKey) =>
  access.post(key, "/v1/images/generations", { model: "up", prompt: "a red square" });

const tokensOf = async (made: TestKey) => {
  const [row] = await access.usage(made);
  return row && [row.requests, row.input_tokens, row.output_tokens];
};

describe("what an upstream answers by itself", () => {
  it("is charged with what it tells", async () => {
    const made = await access.keyWith({ tokensPerMonth: 1000 });
    upstream.answer = reply(200, { output: [], usage: { input_tokens: 11, output_tokens: 500 } });
    expect((await responses(made)).status).toBe(200);
    await eventually(async () => (await access.quota(made)).tokens === 511);
    upstream.answer = packets(event({ response: { usage: { input_tokens: 7, output_tokens: 3 } } }));
    await (await responses(made, { stream: true })).text();
    await eventually(async () => (await access.quota(made)).tokens === 521);
    expect(await tokensOf(made)).toEqual([2, 18, 503]);
  });

  it("is charged with what it may have used, where it tells nothing", async () => {
    const made = await access.keyWith({ tokensPerMonth: 1000 });
    upstream.answer = reply(200, { output: [] });
    await (await responses(made, { max_output_tokens: 30 })).text();
    await eventually(async () => (await access.quota(made)).tokens === 40);
  });

  it("is charged with its pieces when the caller leaves", async () => {
    const made = await access.keyWith({ tokensPerMonth: 1000 });
    upstream.answer = stalls(event({ delta: "one" }), event({ delta: "two" }), event({ delta: "three" }));
    const leaving = new AbortController();
    const answer = await responses(made, { stream: true }, leaving.signal);
    await answer.body!.getReader().read();
    leaving.abort();
    await eventually(async () => (await tokensOf(made)) !== undefined);
    const [requests, input, output] = (await tokensOf(made))! as [number, number, number];
    expect([requests, input]).toEqual([1, 10]);
    expect(output).toBeLessThanOrEqual(3);
  });

  it("is bound by the limits as everything else", async () => {
    const made = await access.keyWith({ requestsPerMonth: 2, maxTokens: 50, models: ["up"] });
    expect((await responses(made, { max_output_tokens: 51 })).status).toBe(400);
    upstream.answer = reply(200, { data: [] });
    const painted = await image(made);
    expect(painted.status).toBe(200);
    await painted.text();
    expect(upstream.requests.at(-1)!.body).not.toHaveProperty("max_output_tokens");
    upstream.answer = reply(400, { error: { message: "no" } });
    await (await image(made)).text();
    await eventually(async () => (await access.quota(made)).requests === 1);
    upstream.answer = reply(200, { output: [] });
    await (await responses(made)).text();
    expect(upstream.requests.at(-1)!.body).toMatchObject({ max_output_tokens: 50 });
    expect((await image(made)).status).toBe(429);
    expect(await tokensOf(made)).toEqual([2, 13, 50]);
  });

  it("is bound by the role where it is a completion of token ids", async () => {
    const made = await access.keyWith({ tokensPerMonth: 1000, maxTokens: 50, models: ["up"] });
    const complete = (more: object) =>
      access.post(made.key, "/v1/completions", { model: "up", prompt: [[1, 2], [3]], n: 2, ...more });
    const refused = await complete({ max_tokens: 51 });
    expect([refused.status, await refused.text()]).toEqual([
      400,
      expect.stringContaining("'max_tokens' is 51"),
    ]);
    upstream.answer = reply(200, { choices: [] });
    await (await complete({})).text();
    expect(upstream.requests.at(-1)!.body).toMatchObject({ prompt: [[1, 2], [3]], max_tokens: 50 });
    await eventually(async () => (await access.quota(made)).tokens === 3 + 4 * 50);
  });

  it("tells its usage at the end, and not in a text or a schema", () => {
    const said = JSON.stringify({ text: JSON.stringify({ usage: { input_tokens: 1 } }) });
    expect(usageIn(said)).toBeUndefined();
    const schema = '{"usage": {"type": "object"}}';
    const real = '{"usage":{"prompt_tokens":5,"details":{"cached":1},"completion_tokens":6}}';
    expect(usageIn(schema + real)).toEqual({ prompt: 5, output: 6 });
    expect(usageIn(real + schema)).toEqual({ prompt: 5, output: 6 });
    expect(usageIn('{"usage":{"prompt_tokens":')).toBeUndefined();
  });
});

it("a kept answer costs a request and no tokens", async () => {
  const made = await access.keyWith({ tokensPerMonth: 1000 });
  const ask = async () => {
    const answer = await access.chat(made.key, { temperature: 0 });
    await answer.text();
    return answer.headers.get("x-capstan-cache");
  };
  expect([await ask(), await ask()]).toEqual(["miss", "hit"]);
  await eventually(async () => (await access.quota(made)).tokens === 5);
  expect(await tokensOf(made)).toEqual([2, 2, 3]);
});

it("what was used is written when the server stops", async () => {
  await using other = await TestAccess.start(repository.root, `sqlite:${repository.path("stops.db")}`);
  const made = await other.keyWith({ tokensPerMonth: 1000 });
  await (await other.chat(made.key)).text();
  await other.server[Symbol.asyncDispose]();
  expect(await other.quota(made)).toEqual({ requests: 1, tokens: 5 });
  const rows = await other.store.database.selectFrom("usage").selectAll().execute();
  expect(rows).toMatchObject([{ key_id: made.id, requests: 1, input_tokens: 2, output_tokens: 3 }]);
});
