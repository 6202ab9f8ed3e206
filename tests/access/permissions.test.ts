import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN, bearer, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import type { TestRepository } from "../support/server.ts";

let repository: TestRepository;
let access: TestAccess;
beforeAll(async () => {
  repository = await modelsForKeys();
  access = await TestAccess.start(repository.root, `sqlite:${repository.path("permissions.db")}`);
});
afterAll(async () => {
  await access[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

describe("what a caller sees", () => {
  it("are the models of its role", async () => {
    const { key } = await access.keyWith({ models: ["ec*"] });
    const ids = async (who: string) =>
      ((await access.get(who, "/v1/models")).body as { data: { id: string }[] }).data.map(({ id }) => id);
    expect(await ids(key)).toEqual(["echo"]);
    expect(await ids(ADMIN)).toEqual(["echo", "slow"]);
    for (const path of [
      "/v1/models/slow",
      "/v2/models/slow",
      "/v2/models/iris/config",
      "/v2/models/nobody",
    ]) {
      expect([path, (await access.get(key, path)).status]).toEqual([path, 403]);
    }
    const { body } = await access.get(key, "/v2/models/stats");
    expect(body).toMatchObject({ model_stats: [{ name: "echo" }] });
    const index = await (await access.post(key, "/v2/repository/index", {})).json();
    expect(index).toMatchObject([{ name: "echo" }]);
  });

  it("are none without a key, though probes need none", async () => {
    expect(await access.server.get("/v1/health")).toEqual({ status: 200, body: { status: "ok" } });
    await using broken = await modelsForKeys();
    await broken.write("secret-model", { name: "secret-model", implementation: "onnx" });
    await using unready = await TestAccess.start(broken.root, `sqlite:${broken.path("unready.db")}`);
    const probe = await unready.server.get("/v2/health/ready");
    expect(probe).toEqual({ status: 503, body: { error: "The server is not ready" } });
  });

  it("ends with its key, in the background as well", async () => {
    const { key, id } = await access.keyWith({});
    const body = { model: "slow", input: "word ".repeat(400), background: true };
    expect((await access.post(key, "/v1/responses", body)).status).toBe(200);
    await access.records.revoke(id);
    await eventually(async () => (await access.usage({ id, key })).length === 1);
    const [row] = await access.usage({ id, key });
    expect(Number(row!.output_tokens)).toBeLessThan(100);
  });

  it("ends with its key while its client is away from a stream that may be resumed", async () => {
    const { key, id } = await access.keyWith({});
    const path = `/v2/models/slow/stream?resume=1&prompt=${"word+".repeat(400)}`;
    const leaving = new AbortController();
    const answer = await access.server.request(path, { headers: bearer(key), signal: leaving.signal });
    await answer.body!.getReader().read();
    leaving.abort();
    await access.records.revoke(id);
    await eventually(async () => (await access.usage({ id, key })).length === 1);
    const [row] = await access.usage({ id, key });
    expect(Number(row!.output_tokens)).toBeLessThan(100);
  });

  it("is its own work alone", async () => {
    const [mine, other] = [await access.keyWith({}), await access.keyWith({})];
    const answer = await access.chat(mine.key, { model: "slow", stream: true, max_tokens: 50 });
    const path = `/v2/cancel/${answer.headers.get("x-request-id")}`;
    expect((await access.post(other.key, path, {})).status).toBe(404);
    expect((await access.post(mine.key, path, {})).status).toBe(200);
    expect(await answer.text()).toMatch(/cancelled/);
  });
});

describe("a repository call with a configuration", () => {
  const load = (key: string, config: object) =>
    access.post(key, "/v2/repository/models/echo/load", { parameters: { config: JSON.stringify(config) } });

  it("is for administrators", async () => {
    const { key } = await access.keyWith({});
    expect((await load(key, { max_batch_size: 2 })).status).toBe(403);
    expect((await load(ADMIN, { max_batch_size: 2 })).status).toBe(200);
  });

  it.each([
    [{ implementation: "onnx" }, /'implementation'/],
    [{ parameters: { uri: "http://127.0.0.1/x" } }, /'parameters.uri'/],
    [{ parameters: { extra: { framework: "openai" } } }, /'parameters.extra.framework'/],
    [{ parameters: { extra: { base_url: "http://127.0.0.1" } } }, /'parameters.extra.base_url'/],
  ])("changes neither implementation nor addresses: %j", async (config, message) => {
    const answer = await load(ADMIN, config);
    expect(answer.status).toBe(403);
    expect(((await answer.json()) as { error: string }).error).toMatch(message);
  });

  it("interpolates nothing", async () => {
    expect((await load(ADMIN, { platform: "${HOME}" })).status).toBe(200);
    expect((await access.get(ADMIN, "/v2/models/echo/config")).body).toMatchObject({ platform: "${HOME}" });
  });
});
