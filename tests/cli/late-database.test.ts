import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Capstan } from "../support/capstan.ts";
import { TestPostgres } from "../support/postgres.ts";
import { TestRepository } from "../support/server.ts";

const FREE_PORTS = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"];
const WAITED_FOR = "the database cannot be reached, and is waited for: ";

let repository: TestRepository;
let started: Capstan | undefined;
beforeAll(async () => {
  repository = await TestRepository.create();
});
afterEach(() => {
  started?.child.kill("SIGKILL");
});
afterAll(() => repository[Symbol.asyncDispose]());

function start(DATABASE_URL: string, hasKeys: boolean): Capstan {
  const env = { DATABASE_URL, CAPSTAN_ADMIN_KEY: "an-admin-key-of-the-operator" };
  started = new Capstan(["start", repository.root, ...FREE_PORTS], {
    ...env,
    CAPSTAN_AUTH__ENABLED: hasKeys ? "1" : "0",
  });
  return started;
}

describe("a database that is down at the start", () => {
  const away = "postgres://u:secret@127.0.0.1:1/records";

  it.each([
    [true, "no key can be checked, and this server is not ready"],
    [false, "what was decided about models counts as it was read last, and what is to be kept waits"],
  ])("is waited for until SIGTERM; access control: %s", async (hasKeys, meanwhile) => {
    const server = start(away, hasKeys);
    const warning = await server.line(WAITED_FOR + meanwhile);
    expect(warning).toMatchObject({ level: "warn", database: "postgres://127.0.0.1:1/records" });
    if (!hasKeys) await server.line("ready");
    server.child.kill("SIGTERM");
    expect(await server.exit()).toBe(0);
    expect(server.lines.filter(({ level }) => level !== "info")).toHaveLength(1);
    expect(server.lines.some(({ msg }) => msg === "ready")).toBe(!hasKeys);
    expect(server.stderr + JSON.stringify(server.lines)).not.toContain("secret");
  });

  it("is no reason to take a key of the administrator that is too short", async () => {
    const env = { DATABASE_URL: away, CAPSTAN_ADMIN_KEY: "short", CAPSTAN_AUTH__ENABLED: "1" };
    started = new Capstan(["start", repository.root, ...FREE_PORTS], env);
    expect(await started.exit()).toBe(2);
    expect(started.stderr).toContain("CAPSTAN_ADMIN_KEY");
  });
});

describe("a database that is a wrong one", () => {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await TestPostgres.start();
  });
  afterAll(() => postgres[Symbol.asyncDispose]());

  it.each([
    ["password", 1, /password authentication failed/, (url: string) => url.replace("secret", "other")],
    ["name", 1, /database "nowhere" does not exist/, (url: string) => url.replace(/capstan$/, "nowhere")],
    ["address", 2, /database_url: must be/, () => "postgres://u:p@[/records"],
  ])("ends the start: %s", async (_, code, message, wrong) => {
    const server = start(wrong(postgres.url), true);
    expect(await server.exit()).toBe(code);
    expect(server.stderr).toMatch(message);
    expect(server.lines).toEqual([]);
  });
});
