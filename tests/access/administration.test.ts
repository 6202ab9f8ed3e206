import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ADMIN, bearer, modelsForKeys, TestAccess } from "../support/access.ts";
import { TestPostgres } from "../support/postgres.ts";
import type { TestRepository } from "../support/server.ts";

let repository: TestRepository;
let postgres: TestPostgres;
beforeAll(async () => {
  repository = await modelsForKeys();
  postgres = await TestPostgres.start();
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

describe.each(["sqlite", "postgres"] as const)("administrators, on %s", (kind) => {
  let access: TestAccess;
  beforeAll(async () => {
    const url = kind === "sqlite" ? `sqlite:${repository.path("administration.db")}` : postgres.url;
    const records = { completion_cache: { store: "sql" }, inference_log: { enabled: true } };
    access = await TestAccess.start(repository.root, url, records);
  });
  afterAll(() => access[Symbol.asyncDispose]());

  const ask = async (method: string, path: string, body?: object) => {
    const response = await access.server.request(path, {
      ...{ method, headers: { "content-type": "application/json", ...bearer(ADMIN) } },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };

  it.each([
    ["POST", "/admin/keys", { role: "admin", name: "a\0b" }, "name"],
    ["POST", "/admin/keys", { role: "admin", name: "n".repeat(257) }, "name"],
    ["POST", "/admin/keys", { role: "ad\0min" }, "role"],
    ["POST", "/admin/keys", { role: "admin", expires: "99999999d" }, "expires"],
    ["POST", "/admin/roles", { name: "z\0" }, "name"],
    ["POST", "/admin/roles", { name: "z\ud800" }, "name"],
    ["POST", "/admin/roles", { name: "z", models: ["a\n"] }, "models"],
    ["GET", "/admin/usage?key=%00", undefined, "key"],
    ["GET", "/admin/usage?month=last", undefined, "month"],
    ["GET", "/admin/usage?format=xml", undefined, "format"],
    ["GET", "/admin/log?key=%00", undefined, "key"],
    ["GET", "/admin/log?model=%00", undefined, "model"],
    ["GET", "/admin/log?format=xml", undefined, "format"],
    ["DELETE", "/admin/cache?model=%00", undefined, "model"],
  ])("are told what is wrong with %s %s %j", async (method, path, body, param) => {
    const answer = await ask(method, path, body);
    expect(answer).toMatchObject({ status: 400, text: expect.stringContaining(`'${param}'`) });
  });

  it("find no key under what is no name", async () => {
    for (const method of ["GET", "DELETE"])
      expect(await ask(method, "/admin/keys/%00")).toMatchObject({ status: 404 });
    expect(await ask("POST", "/admin/keys/%00/rotate", {})).toMatchObject({ status: 404 });
  });

  it("get tables with their columns, also where there are no rows", async () => {
    const log = (await ask("GET", "/admin/log?key=nobody&format=csv")).text;
    expect(log).toMatch(/^id,at,request_id,.*,response_body\r\n$/);
    const usage = (await ask("GET", "/admin/usage?key=nobody&format=csv")).text;
    expect(usage).toBe("key_id,month,model,requests,input_tokens,output_tokens\r\n");
  });

  it("read the log page by page, no row twice and none left out", async () => {
    const { key, id } = await access.keyWith({});
    await Promise.all(Array.from({ length: 25 }, () => access.chat(key)));
    const seen: string[] = [];
    for (let before = ""; ; before = `&before=${seen.at(-1)}`) {
      const { text } = await ask("GET", `/admin/log?key=${id}&limit=4${before}`);
      const rows = (JSON.parse(text) as { log: { id: string }[] }).log;
      seen.push(...rows.map((row) => row.id));
      if (rows.length === 0) break;
    }
    expect(seen).toHaveLength(25);
    expect(new Set(seen).size).toBe(25);
  });

  it("get a table where they ask for that type", async () => {
    const headers = { accept: "text/csv", ...bearer(ADMIN) };
    for (const path of ["/admin/usage", "/admin/log"]) {
      const answer = await access.server.request(path, { headers });
      expect(answer.headers.get("content-type")).toBe("text/csv; charset=utf-8");
    }
  });
});
