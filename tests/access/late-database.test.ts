import { status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { ADMIN, bearer, modelsForKeys, TestAccess } from "../support/access.ts";
import { eventually } from "../support/eventually.ts";
import { TestPostgres } from "../support/postgres.ts";
import { TestRegistry } from "../support/registry.ts";
import { IRIS_ROW, serve, TestRepository } from "../support/server.ts";

const NOT_CHECKED = "Keys cannot be checked now: their database does not answer";

let postgres: TestPostgres;
let repository: TestRepository;
beforeAll(async () => {
  postgres = await TestPostgres.start();
  repository = await modelsForKeys();
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

it("with access control, nobody is let in until the database answers, and then everybody at once", async () => {
  await postgres.kill();
  await using access = await TestAccess.start(repository.root, postgres.url);
  const { server } = access;
  const statusOf = async (path: string) => (await server.request(path)).status;
  expect(await statusOf("/v2/health/live")).toBe(200);
  expect(await statusOf("/v2/health/ready")).toBe(503);
  expect(await statusOf("/readyz")).toBe(503);
  const { ServerReady, ServerLive, ModelInfer } = GRPCInferenceService;
  const grpcReady = async () => (await access.grpc.unary(ServerReady, {})).response.ready;
  expect((await access.grpc.unary(ServerLive, {})).response.live).toBe(true);
  expect(await grpcReady()).toBe(false);
  for (const headers of [bearer(ADMIN), bearer("another"), {}]) {
    for (const path of ["/admin/keys", "/v1/models", "/v2/models/iris", "/v2/repository/events"]) {
      const answer = await server.request(path, { headers });
      expect([path, answer.status, await answer.text()]).toEqual([
        path,
        503,
        expect.stringContaining(NOT_CHECKED),
      ]);
    }
    const infer = await server.request("/v2/models/iris/infer", {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(IRIS_ROW),
    });
    expect(infer.status).toBe(503);
    const called = await access.grpc.unary(ModelInfer, { modelName: "iris" }, { headers });
    expect(called).toMatchObject({ code: status.UNAVAILABLE, details: NOT_CHECKED });
  }
  await postgres.restart();
  await eventually(async () => (await statusOf("/v2/health/ready")) === 200);
  expect(await grpcReady()).toBe(true);
  expect((await access.get(ADMIN, "/admin/keys")).status).toBe(200);
  expect((await access.get("another", "/v1/models")).status).toBe(401);
  const made = await access.keyWith({});
  expect((await access.chat(made.key)).status).toBe(200);
});

describe("without access control", () => {
  const keeping = {
    auth: { database_url: "" },
    inference_log: { enabled: true },
    completion_cache: { store: "sql" },
  };
  const asked = { model: "echo", messages: [{ role: "user", content: "one" }], temperature: 0 };

  it("it is ready, and what is to be kept is kept later", async () => {
    await postgres.kill();
    await using server = await serve(repository.root, { ...keeping, auth: { database_url: postgres.url } });
    expect((await server.get("/v2/health/ready")).status).toBe(200);
    expect((await server.post("/v1/chat/completions", asked)).status).toBe(200);
    expect((await server.get("/admin/log")).status).toBe(503);
    expect((await server.request("/admin/cache", { method: "DELETE" })).status).toBe(503);
    await postgres.restart();
    const rows = async () => {
      const { status: code, body } = await server.get("/admin/log");
      return code === 200 ? (body as { log: { model: string }[] }).log : [];
    };
    await eventually(async () => (await rows()).length > 0);
    expect(await rows()).toMatchObject([{ model: "echo", status: "ok" }]);
    const isKept = async () => {
      const answer = await server.request("/v1/chat/completions", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(asked),
      });
      return answer.headers.get("x-capstan-cache") === "hit";
    };
    await eventually(isKept);
  });

  it("decisions count as they were read last, then as they are", async () => {
    await using registry = await TestRegistry.start();
    await using models = await TestRepository.create();
    await models.write("pinned", registry.settings("pinned"));
    const settings = {
      cache_dir: models.path(".cache"),
      auth: { database_url: postgres.url },
      repository_poll: "0",
    };
    const versions = (server: Awaited<ReturnType<typeof serve>>) =>
      server.running.repository
        .index()
        .filter(({ state }) => state === "READY")
        .map(({ version }) => version);
    {
      await using server = await serve(models.root, settings);
      expect((await server.post("/v2/models/pinned/pin", { version: "7" })).status).toBe(200);
    }
    await postgres.kill();
    await using server = await serve(models.root, settings);
    await using elsewhere = await serve(models.root, { ...settings, cache_dir: models.path(".other") });
    expect([versions(server), versions(elsewhere)]).toEqual([["7"], ["1"]]);
    const refused = await server.post("/v2/models/pinned/unpin");
    expect([refused.status, JSON.stringify(refused.body)]).toEqual([
      503,
      expect.stringContaining("its database does not answer"),
    ]);
    expect(versions(server)).toEqual(["7"]);
    await postgres.restart();
    await eventually(() => versions(elsewhere).join() === "7");
    expect(versions(server)).toEqual(["7"]);
    expect((await server.post("/v2/models/pinned/unpin")).status).toBe(200);
  });
});
