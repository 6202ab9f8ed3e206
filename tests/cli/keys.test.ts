import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { run } from "../../src/cli/program.ts";
import { openStore } from "../../src/store/database.ts";

let folder: string;
let database: string;
const printed: string[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "capstan-keys-"));
  database = `sqlite:${join(folder, "keys.db")}`;
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => {
  printed.length = 0;
  vi.spyOn(console, "log").mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, "error").mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function capstan(...args: string[]): Promise<{ code: number; text: string }> {
  printed.length = 0;
  const code = await run([...args, "--database", database]);
  return { code, text: printed.join("\n") };
}

it("makes roles and keys, shows them, changes and revokes them", async () => {
  expect(await capstan("db", "status")).toMatchObject({
    code: 0,
    text: expect.stringMatching(/0001-first +not applied/),
  });
  expect((await capstan("db", "migrate")).text).toMatch(/applied 0001-first/);
  expect((await capstan("db", "migrate")).text).toMatch(/nothing to do/);
  expect((await capstan("db", "status")).text).toMatch(/0001-first +applied 2/);
  const set = [
    "roles",
    "set",
    "basic",
    "--models",
    "tiny-*,iris",
    "--rpm",
    "60",
    "--tokens-per-month",
    "1000",
  ];
  expect(await capstan(...set)).toMatchObject({
    code: 0,
    text: expect.stringMatching(/basic +tiny-\*,iris +60 +- .* 1000/),
  });
  expect((await capstan("roles", "set", "root", "--admin")).text).toMatch(/root +\* .* yes$/);
  expect(JSON.parse((await capstan("roles", "list", "--json")).text)).toHaveLength(2);
  const created = await capstan(
    "keys",
    "create",
    "--role",
    "basic",
    "--name",
    "me",
    "--expires",
    "30d",
    "--json",
  );
  const { id, key } = JSON.parse(created.text) as { id: string; key: string };
  expect(key).toMatch(new RegExp(`^cap_${id}_`));
  expect((await capstan("keys", "create", "--role", "basic")).text).toMatch(
    /^cap_\S+\nThis is key .* of role basic/,
  );
  expect(vi.mocked(console.log).mock.lastCall).toEqual([expect.stringMatching(/^cap_\S+$/)]);
  const list = (await capstan("keys", "list")).text;
  expect(list).toMatch(new RegExp(`${id} +me +basic +2.*T`));
  expect(list).not.toContain(key);
  const rotated = JSON.parse((await capstan("keys", "rotate", id, "--overlap", "1h", "--json")).text) as {
    rotatedFrom: string;
  };
  expect(rotated.rotatedFrom).toBe(id);
  expect((await capstan("keys", "revoke", id)).text).toMatch(/is revoked/);
  expect((await capstan("keys", "rotate", id)).code).toBe(1);
});

it("shows what was used", async () => {
  await using store = await openStore(database, "/");
  const row = { key_id: "k", month: "2026-11", model: "a,b", requests: 2, input_tokens: 3, output_tokens: 4 };
  await store.database.insertInto("usage").values(row).execute();
  expect((await capstan("usage")).text).toMatch(/2026-11 +k +a,b +2 +3 +4/);
  expect((await capstan("usage", "--csv", "--month", "2026-11")).text).toBe(
    'key_id,month,model,requests,input_tokens,output_tokens\r\nk,2026-11,"a,b",2,3,4\r\n',
  );
  expect((await capstan("usage", "--month", "2020-01")).text).not.toMatch(/a,b/);
});

it("shows one key with what its role allows and what it used", async () => {
  const { id } = JSON.parse(
    (await capstan("keys", "create", "--role", "basic", "--name", "one", "--json")).text,
  ) as {
    id: string;
  };
  await using store = await openStore(database, "/");
  const row = { key_id: id, month: "2026-11", model: "iris", requests: 7, input_tokens: 0, output_tokens: 0 };
  await store.database.insertInto("usage").values(row).execute();
  const { text } = await capstan("keys", "inspect", id);
  for (const line of [/^key +\w{12}$/m, /^requests a minute +60$/m, /^requests at once +no limit$/m])
    expect(text).toMatch(line);
  expect(text).toMatch(/^used 2026-11 +iris: 7 requests/m);
  const json = JSON.parse((await capstan("keys", "inspect", id, "--json")).text) as object;
  expect(json).toMatchObject({ id, name: "one", limits: { name: "basic" }, usage: [row] });
  expect((await capstan("keys", "inspect", "nobody")).code).toBe(1);
});

it.each([
  [["keys", "create"], 2],
  [["keys", "create", "--role", "ghost"], 1],
  [["keys", "create", "--role", "basic", "--expires", "soon"], 2],
  [["keys", "revoke", "nobody"], 1],
  [["roles", "set", "x", "--rpm", "-1"], 2],
  [["roles", "set", "x", "--rpm", "many"], 2],
  [["usage", "--month", "13"], 2],
])("says what is wrong with %j", async (args, code) => {
  expect((await capstan(...args)).code).toBe(code);
});

it("takes a migration back, with what it held", async () => {
  expect((await capstan("db", "migrate", "--down")).text).toMatch(/reverted 0001-first/);
  expect((await capstan("db", "status")).text).toMatch(/not applied/);
});
