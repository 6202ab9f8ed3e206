import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import s3 from "../../resolvers/s3/index.ts";
import type { Located } from "../../src/contracts/index.ts";
import { resolverContract, testCall, testHost } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { FakeS3, s3Error } from "./support/fake-s3.ts";
import { etagOf } from "./support/file-server.ts";

let store: FakeS3;

beforeAll(async () => {
  store = await FakeS3.start();
});
beforeEach(() => {
  store.objects.clear();
  store.pageSize = 1000;
  store.intercept = () => false;
  store.etagOf = etagOf;
  store.put("iris/model.onnx", "weights");
  store.put("iris/more/notes.txt", "text");
});
afterAll(() => store?.[Symbol.asyncDispose]());

async function open(options: Record<string, unknown> = {}) {
  const parsed = s3.options.safeParse({ ...store.options, ...options });
  if (!parsed.success) throw new Error(JSON.stringify(parsed.error.issues));
  return s3.open(parsed.data, testHost());
}

async function locate(uri: string, options: Record<string, unknown> = {}): Promise<Located> {
  await using resolver = await open(options);
  return await resolver.locate(uri, testCall());
}

async function fetched(
  uri: string,
  options: Record<string, unknown> = {},
  before: () => void = () => {},
  earlier?: string,
) {
  await using resolver = await open(options);
  await using folder = await Files.create();
  const located = await resolver.locate(uri, testCall());
  before();
  await resolver.fetch(located, folder.root, testCall(), earlier);
  const found: Record<string, string> = {};
  for (const entry of await readdir(folder.root, { recursive: true, withFileTypes: true })) {
    const path = `${entry.parentPath}/${entry.name}`;
    if (entry.isFile()) found[path.slice(folder.root.length + 1)] = await readFile(path, "utf8");
  }
  return found;
}

describe("contract for a folder", () => {
  const cases = resolverContract(s3, {
    get options() {
      return store?.options;
    },
    uri: () => "s3://models/iris",
    files: { "model.onnx": "weights", "more/notes.txt": "text" },
    missing: () => "s3://models/absent",
    malformed: () => "s3://UPPER/x",
    broken: () => {
      store.intercept = (request, response) => {
        s3Error(500, "InternalError")(request, response);
        return true;
      };
      return "s3://models/iris";
    },
    change: async () => store.put("iris/model.onnx", "changed"),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("contract for an object", () => {
  const cases = resolverContract(s3, {
    get options() {
      return store?.options;
    },
    uri: () => "s3://models/iris/model.onnx",
    files: { "model.onnx": "weights" },
    missing: () => "s3://nowhere/iris",
    malformed: () => "s3:/models/iris",
    change: async () => store.put("iris/model.onnx", "changed"),
  });
  for (const { name, run } of cases) it(name, run);
});

describe("versions", () => {
  beforeEach(() => {
    store.put("versions/", "");
    store.put("versions/2/model.onnx", "two");
    store.put("versions/10/model.onnx", "ten");
    store.put("versions/10/", "");
  });

  it("stand for the highest", async () => {
    expect(await locate("s3://models/versions")).toMatchObject({
      version: "10",
      location: "s3://models/versions/10/",
    });
    expect(await fetched("s3://models/versions/")).toEqual({ "model.onnx": "ten" });
    expect(await fetched("s3://models/versions/2")).toEqual({ "model.onnx": "two" });
  });

  it("are asked for with @latest where other things lie beside them", async () => {
    store.put("versions/config.pbtxt", "");
    expect(await locate("s3://models/versions")).toMatchObject({ version: "" });
    expect(await locate("s3://models/versions@latest")).toMatchObject({ version: "10" });
    await expect(locate("s3://models/iris@latest")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("are passed over while they are not complete", async () => {
    store.put("versions/10/.incomplete", "");
    expect(await locate("s3://models/versions")).toMatchObject({ version: "2" });
    store.put("versions/11/model.onnx", "new", new Date());
    expect(await locate("s3://models/versions", { settle: "5m" })).toMatchObject({ version: "2" });
    expect(await locate("s3://models/versions", { settle: "0" })).toMatchObject({ version: "11" });
  });

  it("are waited for once, and then not ready", async () => {
    store.put("young/1/model.onnx", "new", new Date());
    expect(await locate("s3://models/young", { settle: "30ms" })).toMatchObject({ version: "1" });
    store.put("young/1/model.onnx.tmp", "new");
    await expect(locate("s3://models/young", { settle: "30ms" })).rejects.toMatchObject({
      code: "NOT_READY",
    });
  });
});

it("lists page by page, and stops at max_objects", async () => {
  for (let index = 0; index < 25; index++) store.put(`many/${index}.bin`, String(index));
  store.pageSize = 10;
  expect(Object.keys(await fetched("s3://models/many"))).toHaveLength(25);
  await expect(locate("s3://models/many", { max_objects: 20 })).rejects.toThrow("more than 20 objects");
});

it("takes a whole bucket", async () => {
  expect(await fetched("s3://models")).toMatchObject({ "iris/model.onnx": "weights" });
});

it("says that there is nothing, and where", async () => {
  await expect(locate("s3://models/absent/")).rejects.toThrow("There is no object at s3://models/absent");
});

it.each([
  [403, "AccessDenied", /check that they allow s3:ListBucket/],
  [403, "SignatureDoesNotMatch", /Check secret_access_key/],
  [403, "Other", /check that they allow/],
  [400, "ExpiredToken", /have expired/],
])("says what %i %s means", async (code, name, message) => {
  store.intercept = (request, response) => {
    s3Error(code, name)(request, response);
    return true;
  };
  await expect(locate("s3://models/iris")).rejects.toMatchObject({
    code: "UPSTREAM",
    message: expect.stringMatching(message),
  });
});

it("says when nobody listens", async () => {
  const endpoint = "http://127.0.0.1:1";
  await expect(locate("s3://models/iris", { endpoint })).rejects.toMatchObject({
    code: "UPSTREAM",
    message: expect.stringMatching(/iris\/?: connect ECONNREFUSED 127.0.0.1:1. Check endpoint/),
  });
});

it("says when there are no credentials", async () => {
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
  vi.stubEnv("AWS_CONFIG_FILE", "/nowhere");
  const none = { access_key_id: undefined, secret_access_key: undefined };
  await expect(locate("s3://models/iris", none)).rejects.toThrow("There are no credentials");
  expect(await locate("s3://models/iris", { ...none, anonymous: true })).toMatchObject({ version: "" });
  vi.unstubAllEnvs();
});

it("signs with a session token", async () => {
  let header: unknown;
  store.intercept = ({ headers }) => {
    header = headers["x-amz-security-token"];
    return false;
  };
  await locate("s3://models/iris", { session_token: "temporary" });
  expect(header).toBe("temporary");
});

it("refuses half of a pair of keys", () => {
  expect(s3.options.safeParse({ access_key_id: "a" }).success).toBe(false);
});

describe("fetch", () => {
  it("fails when something changed since it was located", async () => {
    const change = () => store.put("iris/model.onnx", "changed");
    await expect(fetched("s3://models/iris", {}, change)).rejects.toThrow(
      "changed while it was being fetched",
    );
  });

  it("fails when an object changes between listing and reading", async () => {
    store.intercept = ({ method, url = "" }) => {
      if (method === "GET" && !url.includes("list-type")) store.put("iris/model.onnx", "changed");
      return false;
    };
    await expect(fetched("s3://models/iris")).rejects.toThrow("changed while it was being fetched");
  });

  it("fails when an object breaks off", async () => {
    store.intercept = ({ method, url = "" }, response) => {
      if (method !== "GET" || url.includes("list-type")) return false;
      response.writeHead(200, { "content-length": 7 });
      response.write("wei", () => setTimeout(() => response.destroy(), 10));
      return true;
    };
    await expect(fetched("s3://models/iris")).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("refuses more than max_bytes", async () => {
    await expect(fetched("s3://models/iris", { max_bytes: 3 })).rejects.toThrow("11 bytes; max_bytes is 3");
  });

  it.each(["../evil", "a//b", "a/../../evil", "a\\b"])("refuses the key %s", async (key) => {
    store.put(`bad/${key}`, "x");
    await expect(fetched("s3://models/bad")).rejects.toThrow("is no path below the folder");
  });

  it("refuses an object and a folder of one name", async () => {
    store.put("both/a", "x");
    store.put("both/a/b", "y");
    await expect(fetched("s3://models/both", { parallel: 1 })).rejects.toMatchObject({ code: "UPSTREAM" });
  });
});

describe("what is here already", () => {
  const MIB = 1024 * 1024;
  const md5 = (content: string | Buffer) => createHash("md5").update(content).digest();
  /** The ETag of an upload in parts. */
  const ofParts = (size: number) => (content: string) => {
    const count = Math.ceil(content.length / size);
    const parts = Array.from({ length: count }, (_, at) => md5(content.slice(at * size, (at + 1) * size)));
    return `"${md5(Buffer.concat(parts)).toString("hex")}-${count}"`;
  };
  const whole = (content: string) => `"${md5(content).toString("hex")}"`;
  let earlier: Files;
  beforeEach(async () => {
    earlier = await Files.create({ "model.onnx": "weights", "more/notes.txt": "text" });
    store.server.requests.length = 0;
  });
  afterEach(() => earlier[Symbol.asyncDispose]());
  const read = () =>
    store.server.seen.filter((line) => line.includes("GetObject")).map((line) => line.split("?")[0]);
  const again = () => fetched("s3://models/iris", {}, undefined, earlier.root);

  it("is copied, and what changed or is new is fetched", async () => {
    store.etagOf = whole;
    store.put("iris/model.onnx", "Weights");
    store.put("iris/empty", "");
    store.put("iris/new", "new");
    expect(await again()).toEqual({
      "model.onnx": "Weights",
      "more/notes.txt": "text",
      empty: "",
      new: "new",
    });
    expect(read().sort()).toEqual([
      "GET /models/iris/empty",
      "GET /models/iris/model.onnx",
      "GET /models/iris/new",
    ]);
  });

  it.each([5, 8, 100])("is told where objects were uploaded in parts of %d MiB", async (size) => {
    store.etagOf = ofParts(size * MIB);
    const big = "b".repeat(9 * MIB);
    store.put("iris/model.onnx", big);
    await earlier.write("model.onnx", big);
    expect((await again())["model.onnx"]).toBe(big);
    expect(read()).toEqual([]);
  });

  it("is fetched where the store's ETags are no digests, or of parts of another size", async () => {
    await again();
    store.etagOf = ofParts(3);
    expect(await again()).toEqual({ "model.onnx": "weights", "more/notes.txt": "text" });
    expect(read()).toHaveLength(4);
  });
});
