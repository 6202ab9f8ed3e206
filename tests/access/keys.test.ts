import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Authenticator } from "../../src/access/authenticator.ts";
import { AccessControl } from "../../src/access/control.ts";
import { newKey } from "../../src/access/key.ts";
import { AccessRecords } from "../../src/access/records.ts";
import { allowsModel, UNLIMITED } from "../../src/access/role.ts";
import { GRPCInferenceService } from "../../src/grpc/generated/services.ts";
import { openStore, type Store } from "../../src/store/database.ts";
import { eventually } from "../support/eventually.ts";
import { codeName, TestClient } from "../support/grpc.ts";
import { dataOf } from "../support/scripted-llm.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const ADMIN = "an-admin-key-of-the-operator";
let repository: TestRepository;
let server: TestServer;
let store: Store;
let records: AccessRecords;
beforeAll(async () => {
  repository = await TestRepository.create();
  await repository.addSample("iris");
  await repository.write("echo", {
    ...{ name: "echo", implementation: "llm" },
    parameters: { extra: { framework: "echo", delay_ms: 20 } },
  });
  const database_url = `sqlite:${repository.path("keys.db")}`;
  server = await serve(
    repository.root,
    { auth: { enabled: true, database_url } },
    { CAPSTAN_ADMIN_KEY: ADMIN },
  );
  store = await openStore(database_url, "/");
  records = new AccessRecords(store.database);
  await records.setRole({ ...UNLIMITED, name: "user", admin: false });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const withKey = (path: string, headers: Record<string, string>, init: RequestInit = {}) =>
  server.request(path, { ...init, headers: { "content-type": "application/json", ...headers } });
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const status = async (path: string, headers: Record<string, string> = {}, init?: RequestInit) =>
  (await withKey(path, headers, init)).status;

async function code(method: unknown, request: object, headers: Record<string, string> = {}): Promise<string> {
  const client = new TestClient(`127.0.0.1:${server.running.grpc.port}`);
  const answer = await client.unary(method as never, request as never, { headers });
  client.close();
  return codeName(answer.code);
}

describe("a server with access control", () => {
  it("asks for a key everywhere but at the routes that are open", async () => {
    for (const path of [
      "/v2",
      "/v2/health/live",
      "/v2/health/ready",
      "/health",
      "/readyz",
      "/ping",
      "/metrics",
    ]) {
      expect([path, await status(path)]).toEqual([path, 200]);
    }
    for (const path of ["/v2/models/iris", "/v1/models", "/v2/models/stats"]) {
      expect([path, await status(path)]).toEqual([path, 401]);
    }
    const answer = await withKey("/v1/models", bearer("cap_nobody_x"));
    expect(answer.status).toBe(401);
    expect(await answer.json()).toMatchObject({
      error: { type: "authentication_error", message: "The key is not known" },
    });
  });

  it("takes a key as bearer token, as X-API-Key and in gRPC metadata", async () => {
    const { key, id } = await records.createKey("user", { name: "me" });
    expect(key).toContain(id);
    expect(await status("/v1/models", bearer(key))).toBe(200);
    expect(await status("/v1/models", { "x-api-key": key })).toBe(200);
    const { ModelReady, ServerLive } = GRPCInferenceService;
    const asked = { name: "iris" };
    expect(await code(ModelReady, asked)).toBe("UNAUTHENTICATED");
    expect(await code(ModelReady, asked, { "x-api-key": key })).toBe("OK");
    expect(await code(ServerLive, {})).toBe("OK");
  });

  it("leaves what changes the server to administrators", async () => {
    const { key } = await records.createKey("user");
    const load = { method: "POST", body: "{}" };
    expect(await status("/v2/repository/models/iris/load", bearer(key), load)).toBe(403);
    expect(await status("/v2/repository/models/iris/load", bearer(ADMIN), load)).toBe(200);
    const { RepositoryModelLoad } = GRPCInferenceService;
    expect(await code(RepositoryModelLoad, { modelName: "iris" }, bearer(key))).toBe("PERMISSION_DENIED");
    expect(await code(RepositoryModelLoad, { modelName: "iris" }, bearer(ADMIN))).toBe("OK");
  });

  it("refuses a revoked or expired key within a second, and ends its streams", async () => {
    const { key, id } = await records.createKey("user");
    const body = JSON.stringify({
      model: "echo",
      stream: true,
      messages: [{ role: "user", content: "word ".repeat(4000) }],
    });
    const stream = await withKey("/v1/chat/completions", bearer(key), { method: "POST", body });
    const text = stream.text();
    await records.revoke(id);
    expect(dataOf((await text).replace("data: [DONE]\n\n", "")).at(-1)).toMatchObject({
      error: { message: expect.stringMatching(/was revoked/) },
    });
    await eventually(async () => (await status("/v1/models", bearer(key))) === 401);
    const expired = await records.createKey("user", { expiresAt: Date.now() - 1 });
    expect(await (await withKey("/v1/models", bearer(expired.key))).json()).toMatchObject({
      error: { message: expect.stringMatching(/has expired/) },
    });
    for (const { id: each, revokedAt } of await records.keys())
      if (revokedAt === null) await records.revoke(each);
    expect(await status("/v2/models/iris")).toBe(401);
    await eventually(async () => (await status("/v1/models", bearer(ADMIN))) === 401);
  });
});

describe("keys and roles", () => {
  it("rotate with an overlap, and are not found under other ids", async () => {
    const old = await records.createKey("user", { name: "mine" });
    const next = await records.rotate(old.id, 60_000);
    expect(next).toMatchObject({ name: "mine", role: "user", rotatedFrom: old.id });
    expect((await records.key(old.id)).expiresAt).toBeGreaterThan(Date.now());
    expect((await records.grantOf(next.key))?.key.id).toBe(next.id);
    await records.revoke(next.id);
    await expect(records.rotate(next.id, 0)).rejects.toThrow(/is revoked/);
    const expired = await records.createKey("user", { expiresAt: Date.now() - 1 });
    await expect(records.rotate(expired.id, 0)).rejects.toThrow(/has expired/);
    await expect(records.revoke("nobody")).rejects.toMatchObject({ code: "NOT_FOUND" });
    await expect(records.createKey("ghost")).rejects.toThrow(/no role 'ghost'; there are admin, user/);
  });

  it("have an administrator after the seed, also where a role of that name was none", async () => {
    await using other = await openStore("sqlite::memory:", "/");
    await other.migrate();
    const seeded = new AccessRecords(other.database);
    await seeded.setRole({ ...UNLIMITED, name: "admin", admin: false, requestsPerMinute: 9 });
    await seeded.seedAdmin(ADMIN);
    const role = (await seeded.grantOf(ADMIN))?.role;
    expect(role).toMatchObject({ name: "admin", admin: true, requestsPerMinute: 9 });
  });

  it("end the work of a revoked key also after a database that hung is back", async () => {
    const answers = [new Promise<string[]>(() => {})];
    const hanging = { ended: () => answers.shift() ?? Promise.resolve(["k"]) };
    await using control = new AccessControl(hanging as unknown as AccessRecords, [], SILENT);
    const { promise, resolve } = Promise.withResolvers<string>();
    control.hold({ id: "k", role: "user", admin: false }, resolve);
    expect(await promise).toMatch(/revoked/);
  });

  it("take a key of their own as the administrator's, unless its role is none", async () => {
    await using other = await openStore("sqlite::memory:", "/");
    await other.migrate();
    const seeded = new AccessRecords(other.database);
    await seeded.setRole({ ...UNLIMITED, name: "boss", admin: true });
    await seeded.setRole({ ...UNLIMITED, name: "user", admin: false });
    const boss = await seeded.createKey("boss");
    expect(await seeded.seedAdmin(boss.key)).toMatchObject({ id: boss.id, revokedAt: null });
    expect(await seeded.keys()).toHaveLength(1);
    const user = await seeded.createKey("user");
    await expect(seeded.seedAdmin(user.key)).rejects.toThrow(/of role 'user', which is no administrator's/);
    await seeded.seedAdmin(ADMIN);
    expect(await seeded.seedAdmin(`another-${ADMIN}`)).toMatchObject({ id: "admin", revokedAt: null });
    expect(await seeded.grantOf(ADMIN)).toBeUndefined();
    await seeded.revoke("admin");
    expect((await seeded.seedAdmin(ADMIN)).revokedAt).not.toBeNull();
  });

  it("believe nobody by what was asked before", async () => {
    await using other = await openStore("sqlite::memory:", "/");
    await other.migrate();
    const asked = new AccessRecords(other.database);
    await asked.setRole({ ...UNLIMITED, name: "user", admin: false });
    const authenticator = new Authenticator(asked, SILENT);
    const { key, id } = await asked.createKey("user");
    await expect(authenticator.authenticate("cap_guessed")).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
    const known = await authenticator.authenticate(key);
    expect(await authenticator.authenticate(key)).toBe(known);
    await asked.revoke(id);
    authenticator.forget();
    await expect(authenticator.authenticate(key)).rejects.toThrow(/is revoked/);
    const good = await asked.createKey("user");
    await authenticator.authenticate(good.key);
    authenticator.forget();
    await other[Symbol.asyncDispose]();
    expect((await authenticator.authenticate(good.key)).id).toBe(good.id);
    const { key: never } = newKey();
    await expect(authenticator.authenticate(never)).rejects.toMatchObject({ code: "NOT_READY" });
  });

  it("allow models by globs", () => {
    expect(allowsModel({ models: ["tiny-*", "iri?"] }, "tiny-chat")).toBe(true);
    expect(allowsModel({ models: ["tiny-*", "iri?"] }, "iris")).toBe(true);
    expect(allowsModel({ models: ["tiny-*", "a.b"] }, "axb")).toBe(false);
    expect(allowsModel({ models: [] }, "iris")).toBe(false);
  });

  it("are stored without the key itself", async () => {
    const { key } = await records.createKey("user");
    const rows = await store.database.selectFrom("api_keys").selectAll().execute();
    expect(JSON.stringify(rows)).not.toContain(key.split("_").slice(2).join("_"));
  });
});

it("does not start with an admin key that can be guessed", async () => {
  const settings = { auth: { enabled: true, database_url: "sqlite::memory:" } };
  await expect(serve(repository.root, settings, { CAPSTAN_ADMIN_KEY: "short" })).rejects.toThrow(
    /at least 16 characters/,
  );
});
