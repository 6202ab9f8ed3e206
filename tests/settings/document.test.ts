import { mkdir, truncate } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { parseDocument, readDocument } from "../../src/settings/document.ts";
import { formatProblem } from "../../src/settings/problems.ts";
import { Files } from "../support/files.ts";

const lines = (text: string) =>
  parseDocument("/s/a.json", text).problems.map((found) => formatProblem(found, "/s"));

describe("a settings document", () => {
  it("may hold comments, trailing commas and a byte order mark", async () => {
    await using files = await Files.create({ "a.json": '\uFEFF{ // here\n "a": [1, /* two */ 2,], }' });
    const document = await readDocument(files.path("a.json"));
    expect(document.problems).toEqual([]);
    expect(document.value).toEqual({ a: [1, 2] });
  });

  it("says where a key stands, and of one that is not there where its parent does", () => {
    const document = parseDocument("a.json", '{\n  "a": 1,\n  "b": { "c": [ 1,\n 22 ] }\n}');
    expect(document.position(["a"])).toEqual({ line: 2, column: 3 });
    expect(document.position(["b", "c"])).toEqual({ line: 3, column: 10 });
    expect(document.position(["b", "c", 1])).toEqual({ line: 4, column: 2 });
    expect(document.position(["b", "x", "y"])).toEqual({ line: 3, column: 3 });
    expect(document.position(["nothing"])).toEqual({ line: 1, column: 1 });
  });

  it("gives the place of a syntax error, and reads the rest", () => {
    expect(lines('{\n  "a": 1\n  "b": 2\n}')).toEqual(["a.json:3:3: is not JSON: comma expected"]);
    expect(parseDocument("a.json", '{ "name": "x", "b" }').value).toEqual({ name: "x" });
  });

  it.each(["[]", "1", '"text"', ""])("refuses %j, which is no object", (text) => {
    expect(lines(text)).toHaveLength(1);
    expect(parseDocument("a.json", text).value).toEqual({});
  });

  it("reports a key that is given twice, at any depth", () => {
    expect(lines('{ "a": [{ "b": 1, "b": 2 }] }')).toEqual([
      "a.json:1:11 a[0].b: is given twice; the last one counts",
    ]);
  });

  it("keeps a key named __proto__ an ordinary key", () => {
    const { value } = parseDocument("a.json", '{ "__proto__": { "polluted": true } }');
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });

  it("refuses nesting that would end the stack", () => {
    expect(lines(`{"a": ${"[".repeat(500_000)}`)).toEqual(["a.json:1:1: is nested too deeply"]);
  });

  it("refuses a file that is missing, too large, or a folder", async () => {
    await using files = await Files.create({ "large.json": "{}" });
    await truncate(files.path("large.json"), 2 ** 21);
    await mkdir(files.path("folder.json"));
    const messageOf = async (name: string) => (await readDocument(files.path(name))).problems[0]?.message;
    expect(await messageOf("large.json")).toMatch(/2097152 bytes; at most 1048576/);
    expect(await messageOf("missing.json")).toMatch(/ENOENT/);
    expect(await messageOf("folder.json")).toMatch(/cannot be read/);
  });
});
