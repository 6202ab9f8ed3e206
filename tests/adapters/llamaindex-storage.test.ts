import { cp } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { Files } from "../support/files.ts";
import {
  ask,
  Counts,
  fixture,
  hostOf,
  load,
  MODELS,
  Speaker,
  spec,
  steps,
  textOf,
} from "./llamaindex-fakes.ts";

interface Found {
  readonly text: string;
  readonly score: number;
}

const FORMATS = ["typescript", "python"] as const;
type Format = (typeof FORMATS)[number];

async function find(format: Format, question: string, counts = new Counts()): Promise<readonly Found[]> {
  const folder = fixture(format);
  const host = hostOf(folder, { writer: new Speaker("yes"), counts });
  await using llm = await load(spec(folder), host, { ...MODELS, top_k: 3 });
  return steps(await ask(llm, question), "sources")[0] as readonly Found[];
}

describe.each(FORMATS)("storage that LlamaIndex for %s wrote", (format) => {
  /** What the scripts that made the fixtures printed, in both languages. */
  it.each([
    ["river dog", ["A dog by the river.", 1], 0.4151320419509786],
    ["cat", ["The cat saw a cat.", 0.997271779714797], 0.19546687117276643],
  ] as const)("gives the hits of its own library for %j", async (question, [text, score], second) => {
    const found = await find(format, question);
    expect(found[0]).toMatchObject({ text, score: expect.closeTo(score, 6) });
    expect(found[1]!.score).toBeCloseTo(second, 6);
    expect(found).toHaveLength(3);
  });

  it("embeds nothing when it is loaded again", async () => {
    const counts = new Counts();
    const folder = fixture(format);
    const host = hostOf(folder, { writer: new Speaker("yes"), counts });
    await (await load(spec(folder, "again"), host))[Symbol.asyncDispose]();
    // One vector, to see that it fits.
    const first = counts.texts.length;
    expect(first).toBeLessThanOrEqual(1);
    await using llm = await load(spec(folder, "again"), host);
    expect(counts.texts).toHaveLength(first);
    await ask(llm, "cat");
    expect(counts.texts).toHaveLength(first + 1);
  });

  it("does not load with an embedding model of another dimension", async () => {
    const folder = fixture(format);
    const host = hostOf(folder, { writer: new Speaker("yes"), counts: new Counts(["cat", "dog"]) });
    await expect(load(spec(folder, `misfit-${format}`), host)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(
        /vectors in storage have 4 numbers, and those of embed 'capstan:counts' 2: .*index the documents again/,
      ),
    });
  });
});

describe("storage that is broken", () => {
  const faults: [Format, string, string | object, RegExp][] = [
    ["typescript", "vector_store.json", "{", /storage\/vector_store\.json cannot be read: .*JSON/],
    ["typescript", "vector_store.json", {}, /storage\/vector_store\.json is not .*it has no embeddingDict/],
    [
      "typescript",
      "vector_store.json",
      { embeddingDict: {} },
      /storage\/vector_store\.json has no vectors of index/,
    ],
    [
      "typescript",
      "index_store.json",
      { "docstore/data": {} },
      /index_store\.json has no vector index \(it has: none\)/,
    ],
    ["typescript", "index_store.json", [], /storage\/index_store\.json is not what LlamaIndex writes: /],
    [
      "typescript",
      "doc_store.json",
      { "docstore/data": { a: { __data__: "{" } } },
      /doc_store\.json is not JSON inside/,
    ],
    [
      "typescript",
      "doc_store.json",
      { "docstore/data": { a: { __data__: "{}" } } },
      /doc_store\.json is not .* at id_/,
    ],
    ["python", "docstore.json", "nope", /storage\/docstore\.json cannot be read/],
    ["python", "docstore.json", {}, /the text of node '.*' is not in the storage/],
    ["python", "default__vector_store.json", { embedding_dict: { a: "x" } }, /at embedding_dict\.a/],
    [
      "python",
      "index_store.json",
      { "index_store/data": { a: { __type__: "list", __data__: "{}" } } },
      /storage\/index_store\.json has no vector index \(it has: list\)/,
    ],
  ];
  it.each(faults)("is refused with the file's name: %s %s %j", async (format, file, content, message) => {
    await using files = await Files.create();
    await cp(fixture(format), files.root, { recursive: true });
    await files.write(`storage/${file}`, content);
    const host = hostOf(files.root, { writer: new Speaker("yes"), counts: new Counts() });
    await expect(load(spec(files.root), host)).rejects.toMatchObject({
      code: "LOAD_FAILED",
      message: expect.stringMatching(message),
    });
  });

  const VECTORS = "storage/vector_store.json";
  const index = (...ids: string[]) => {
    const nodesDict = Object.fromEntries(ids.map((id) => [id, { id_: id, text: id, type: "TEXT" }]));
    return { indexId: `index-${ids.join("-")}`, type: "simple_dict", nodesDict };
  };
  const written = (structs: Record<string, object>, embeddingDict: object) => ({
    "storage/index_store.json": { "docstore/data": structs },
    "storage/doc_store.json": {},
    [VECTORS]: { embeddingDict },
  });

  it.each([
    [{ a: [1, 2] }, /has no vector of node 'b'/],
    [{ a: [1, 2], b: [1] }, /the vector of node 'b' has 1 numbers, and that of the first 2/],
    [{ a: [1, "x"], b: [1, 2] }, /the vector of node 'a' has something that is not a number/],
    [{ a: [], b: [] }, /has 0 numbers/],
  ])("is refused with the node's id: %j", async (vectors, message) => {
    await using files = await Files.create(written({ x: index("a", "b") }, vectors));
    const host = hostOf(files.root, { writer: new Speaker("yes"), counts: new Counts() });
    await expect(load(spec(files.root), host)).rejects.toThrow(message);
  });

  it("says which file is missing", async () => {
    await using files = await Files.create({ "storage/doc_store.json": {} });
    const host = hostOf(files.root, {});
    await expect(load(spec(files.root), host)).rejects.toThrow(/storage\/index_store\.json is missing/);
    await using empty = await Files.create({ "storage/notes.txt": "" });
    await expect(load(spec(empty.root), host)).rejects.toThrow(/storage holds no storage of LlamaIndex/);
  });

  it("that holds several indexes is served by the id of one", async () => {
    const vectors = { a: [1, 0, 0, 0], b: [0, 1, 0, 0] };
    await using files = await Files.create(written({ x: index("a"), y: index("b") }, vectors));
    const host = hostOf(files.root, { writer: new Speaker("yes"), counts: new Counts() });
    await expect(load(spec(files.root), host)).rejects.toThrow(/set index_id to one of index-a, index-b/);
    await expect(load(spec(files.root), host, { ...MODELS, index_id: "c" })).rejects.toThrow(/no index 'c'/);
    await using llm = await load(spec(files.root), host, { ...MODELS, index_id: "index-b", citations: true });
    expect(textOf(await ask(llm, "cat"))).toBe("yes\n\n[1] b");
  });

  it("may be what parameters.uri points at", async () => {
    const folder = fixture("python/storage");
    const host = hostOf(folder, { writer: new Speaker("yes"), counts: new Counts() });
    await using llm = await load(spec(folder), host);
    expect(textOf(await ask(llm, "cat"))).toBe("yes");
  });
});
