import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AccessRecords } from "../../src/access/records.ts";
import { type Role, UNLIMITED } from "../../src/access/role.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

const ADMIN = "an-admin-key-of-the-operator";
let repository: TestRepository;
let postgres: TestPostgres;
beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.addSample("iris");
  const echo = (name: string, delay_ms: number) =>
    repository.write(name, {
      name,
      implementation: "llm",
      parameters: { extra: { framework: "echo", delay_ms } },
    });
  await echo("echo", 0);
  await echo("slow", 50);
  postgres = await TestPostgres.start();
});
afterAll(async () => {
  await repository[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

describe.each(["sqlite", "postgres"])("limits kept in %s", (kind) => {
  let server: TestServer;
  let store: Store;
  let records: AccessRecords;
  beforeAll(async () => {
    const database_url = kind === "sqlite" ? `sqlite:${repository.path("limits.db")}` : postgres.url;
    server = await serve(
      repository.root,
      { auth: { enabled: true, database_url } },
      { CAPSTAN_ADMIN_KEY: ADMIN },
    );
    store = await openStore(database_url, "/");
    records = new AccessRecords(store.database);
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  let roles = 0;
  async function keyWith(limits: Partial<Role>): Promise<{ key: string; id: string }> {
    const name = `role-${roles++}`;
    await records.setRole({ ...UNLIMITED, admin: false, ...limits, name });
    return records.createKey(name);
  }

  const ask = (key: string, path: string, body: object, signal?: AbortSignal) =>
    server.request(path, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });
  const chat = (key: string, more: object = {}, signal?: AbortSignal) => {
    const body = { model: "echo", messages: [{ role: "user", content: "one two" }], max_tokens: 5, ...more };
    return ask(key, "/v1/chat/completions", body, signal);
  };
  const refusal = async (response: Response) => {
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    return {
      status: response.status,
      code: error.code,
      after: Number(response.headers.get("retry-after")),
      message: error.message,
    };
  };
  const usageOf = async (key: string) => {
    const { body } = await get(`/admin/usage?key=${key}`);
    return (body as { usage: Record<string, unknown>[] }).usage;
  };
  async function get(path: string, method = "GET", body?: object) {
    const headers = { authorization: `Bearer ${ADMIN}`, "content-type": "application/json" };
    const response = await server.request(path, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it("let exactly as many requests of a month pass as there are", async () => {
    const { key } = await keyWith({ requestsPerMonth: 20 });
    const statuses = await Promise.all(Array.from({ length: 50 }, async () => (await chat(key)).status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.filter((status) => status === 429)).toHaveLength(30);
    expect(await refusal(await chat(key))).toMatchObject({
      ...{ status: 429, code: "quota_exceeded" },
      message: expect.stringMatching(/may use 20 requests a month/),
    });
  });

  it("reserve tokens before, and put them right afterwards", async () => {
    const { key, id } = await keyWith({ tokensPerMonth: 100 });
    const used = async () => {
      const row = await store.database
        .selectFrom("quotas")
        .select("tokens")
        .where("key_id", "=", id)
        .executeTakeFirst();
      return row?.tokens ?? 0;
    };
    await chat(key);
    await eventually(async () => (await used()) === 5);
    expect(await refusal(await chat(key, { max_tokens: 96 }))).toMatchObject({ code: "quota_exceeded" });
    expect(await used()).toBe(5);
    const leaving = new AbortController();
    const left = chat(key, { model: "slow", stream: true, max_tokens: 50 }, leaving.signal);
    await eventually(async () => (await used()) > 50);
    leaving.abort();
    await left.catch(() => {});
    await eventually(async () => (await used()) < 20);
  });

  it("bound requests and tokens of a minute, and say so in headers", async () => {
    const { key } = await keyWith({ requestsPerMinute: 2 });
    const first = await chat(key);
    expect(Object.fromEntries(first.headers)).toMatchObject({
      "x-ratelimit-limit-requests": "2",
      "x-ratelimit-remaining-requests": "1",
    });
    const infer = await ask(key, "/v2/models/iris/infer", {
      inputs: [{ name: "X", datatype: "FP32", shape: [1, 4], data: [1, 2, 3, 4] }],
    });
    expect(infer.headers.get("x-ratelimit-remaining-requests")).toBe("0");
    const { code, after } = await refusal(await chat(key));
    expect(code).toBe("rate_limited");
    expect(after).toBeGreaterThan(0);
    expect(after).toBeLessThanOrEqual(60);
    const tokens = await keyWith({ tokensPerMinute: 20 });
    expect((await chat(tokens.key)).status).toBe(200);
    expect((await chat(tokens.key, { max_tokens: 18 })).status).toBe(429);
  });

  it("bound requests at once, and what one of them may ask for", async () => {
    const { key } = await keyWith({ concurrency: 2, maxTokens: 3 });
    const answers = await Promise.all([1, 2, 3].map(() => chat(key, { model: "slow", max_tokens: 3 })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    expect((await chat(key, { max_tokens: 3 })).status).toBe(200);
    expect(await refusal(await chat(key, { max_tokens: 4 }))).toMatchObject({ status: 400 });
    const short = (await (await chat(key, { max_tokens: undefined })).json()) as {
      usage: { completion_tokens: number };
    };
    expect(short.usage.completion_tokens).toBe(3);
    const generate = { text_input: "one two three four" };
    const text = (await (await ask(key, "/v2/models/echo/generate", generate)).json()) as {
      text_output: string;
    };
    expect(text.text_output).toBe("Echo: one two");
  });

  it("keep models from roles that do not have them", async () => {
    const { key } = await keyWith({ models: ["ir*"] });
    const denied = await refusal(await chat(key));
    expect(denied).toMatchObject({
      status: 403,
      message: expect.stringMatching(/may not use model 'echo': .* has ir\*/),
    });
  });

  it("count what was used, by key and model", async () => {
    const { key, id } = await keyWith({});
    await Promise.all([chat(key), chat(key)]);
    await ask(key, "/v1/embeddings", { model: "echo", input: "x" });
    const month = new Date().toISOString().slice(0, 7);
    expect(await usageOf(id)).toEqual([
      // `echo` makes no embeddings: that request used nothing.
      { key_id: id, month, model: "echo", requests: 2, input_tokens: 4, output_tokens: 6 },
    ]);
    const csv = await server.request(`/admin/usage?key=${id}&format=csv`, {
      headers: { authorization: `Bearer ${ADMIN}` },
    });
    expect(await csv.text()).toMatch(new RegExp(`^key_id,month,model,.*\r\n${id},${month},echo,2,4,6`));
  });

  it("are administered over HTTP", async () => {
    const role = { name: "http", models: ["echo"], requestsPerMinute: 9 };
    expect((await get("/admin/roles", "POST", role)).status).toBe(200);
    expect((await get("/admin/roles")).body.roles).toContainEqual(expect.objectContaining(role));
    expect((await get("/admin/roles/http")).body).toMatchObject(role);
    expect((await get("/admin/roles/ghost")).status).toBe(404);
    const created = (await get("/admin/keys", "POST", { role: "http", name: "x", expires: "1h" })).body as {
      id: string;
      key: string;
    };
    expect((await chat(created.key)).status).toBe(200);
    const changed = { models: ["iris"], concurrency: 1 };
    const stored = { ...changed, name: "http", requestsPerMinute: null };
    expect((await get("/admin/roles/http", "PUT", changed)).body).toMatchObject(stored);
    expect((await chat(created.key)).status).toBe(403);
    expect((await get("/admin/roles/http", "PUT", { ...changed, models: ["*"] })).status).toBe(200);
    expect((await get("/admin/roles/http", "PUT", { rpm: 1 })).status).toBe(400);
    expect((await get("/admin/roles/http", "PUT", { requestsPerMinute: 3_000_000_000 })).status).toBe(400);
    expect((await chat(created.key)).status).toBe(200);
    expect((await get("/admin/keys")).body.keys).toContainEqual(
      expect.objectContaining({ id: created.id, name: "x" }),
    );
    const next = (await get(`/admin/keys/${created.id}/rotate`, "POST", { overlap: "0" })).body as {
      id: string;
      key: string;
    };
    expect((await chat(next.key)).status).toBe(200);
    expect((await chat(created.key)).status).toBe(401);
    expect((await get(`/admin/keys/${next.id}`, "DELETE")).body).toEqual({ id: next.id, revoked: true });
    expect((await chat(next.key)).status).toBe(401);
    expect((await get(`/admin/keys/${next.id}`)).body.revokedAt).toEqual(expect.any(Number));
    expect((await get("/admin/keys", "POST", { role: "ghost" })).status).toBe(400);
    expect((await get("/admin/keys", "POST", { role: "http", expires: "soon" })).status).toBe(400);
    const { key } = await keyWith({});
    expect(
      (await server.request("/admin/keys", { headers: { authorization: `Bearer ${key}` } })).status,
    ).toBe(403);
  });
});

it("are not there without access control", async () => {
  await using server = await serve(repository.root);
  expect(await server.get("/admin/keys")).toMatchObject({
    status: 501,
    body: { error: expect.stringMatching(/auth.enabled/) },
  });
});
