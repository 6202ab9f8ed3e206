import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { run } from "../../src/cli/program.ts";
import { eventually } from "../support/eventually.ts";
import { TestRegistry } from "../support/registry.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

let registry: TestRegistry;
let repository: TestRepository;
let server: TestServer;
const printed: string[] = [];
beforeAll(async () => {
  registry = await TestRegistry.start();
  repository = await TestRepository.create();
  await repository.write("m", registry.settings("m", { source: { poll: "1h" } }));
  server = await serve(repository.root);
});
afterAll(async () => {
  for (const each of [server, registry, repository]) await each[Symbol.asyncDispose]();
});
beforeEach(() => {
  printed.length = 0;
  vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, "error").mockImplementation((text: string) => void printed.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
});

const models = (...args: string[]) => run(["models", ...args, "--url", server.url]);

describe("capstan models", () => {
  it("lists what is served, as a table or as JSON", async () => {
    expect(await models("list")).toBe(0);
    expect(printed.join("\n")).toMatch(
      /^NAME +VERSION +STATE +REVISION +DIGEST +AGE +NOTE\nm +1 +READY +[0-9a-f]{12} +[0-9a-f]{12} +\d+s$/,
    );
    printed.length = 0;
    expect(await models("list", "ghost")).toBe(0);
    expect(printed.join("\n")).toMatch(/^NAME +VERSION .*NOTE$/);
    printed.length = 0;
    expect(await models("list", "m", "--json")).toBe(0);
    expect(JSON.parse(printed[0]!)).toMatchObject([{ name: "m", version: "1", state: "READY" }]);
  });

  it("reloads, rolls back, pins and unpins", async () => {
    registry.aliases.champion = "2";
    expect(await models("reload", "m")).toBe(0);
    await eventually(() => server.running.plane.modelReady("m", "2"));
    expect(await models("rollback", "m")).toBe(0);
    expect(printed.at(-1)).toMatch(/m +1 +READY .* rolled back/);
    expect(await models("pin", "m", "--version", "5")).toBe(0);
    expect(printed.at(-1)).toMatch(/m +5 +READY .* pinned/);
    expect(await models("unpin", "m")).toBe(0);
    expect(printed.at(-1)).toMatch(/m +2 +READY/);
    expect(await models("unload", "m")).toBe(0);
    expect(printed.at(-1)).toMatch(/m +2 +UN(AVAILABLE|LOADING) .* unloaded/);
    expect(await models("load", "m")).toBe(0);
  });

  it("asks under the server's root_path", async () => {
    await using own = await TestRepository.create();
    await using prefixed = await serve(own.root, { root_path: "/api" });
    expect(await run(["models", "list", "--url", `${prefixed.url}/api`])).toBe(0);
    expect(await run(["models", "list", "--url", `${prefixed.url}/api/`])).toBe(0);
    expect(await run(["models", "list", "--url", prefixed.url])).toBe(1);
    expect(await run(["models", "events", "--url", `${prefixed.url}/api/`])).toBe(0);
    expect(await run(["models", "events", "--url", prefixed.url])).toBe(1);
  });

  it("says what went wrong", async () => {
    expect(await models("pin", "ghost")).toBe(1);
    expect(printed.at(-1)).toMatch(/Model 'ghost' is not in the repository/);
    expect(await run(["models", "list", "--url", "http://127.0.0.1:1"])).toBe(1);
    expect(printed.at(-1)).toMatch(/No server answers at/);
    expect(await run(["models", "rollback"])).toBe(2);
    expect(await run(["models", "list", "--url", "localhost:8080"])).toBe(2);
  });
});
