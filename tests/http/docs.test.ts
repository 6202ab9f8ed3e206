import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { redocPage, swaggerPage } from "../../src/http/docs/pages.ts";
import { identity } from "../support/onnx-graphs.ts";
import { serve, TestRepository, type TestServer } from "../support/server.ts";

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: {
    readonly content: Record<string, { readonly schema: unknown; example?: unknown }>;
  };
  readonly responses: Record<string, { readonly description: string }>;
}

interface OpenApi {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags?: readonly { readonly name: string }[];
  readonly components: { readonly securitySchemes: Record<string, { readonly type: string }> };
  readonly security: readonly Record<string, unknown>[];
  readonly paths: Record<string, Record<string, Operation>>;
}

const ROOT = "/a/prefix";
const SAMPLES = ["iris", "churn", "digits"];
const PAGES = ["/docs", "/redoc", "/v2/docs", "/v2/models/iris/docs"];
const DOCUMENTS = ["/openapi.json", "/v2/models/iris/openapi.json"];

let repository: TestRepository;
let server: TestServer;
let prefixed: TestServer;
let locked: TestServer;
beforeAll(async () => {
  repository = await TestRepository.create();
  for (const sample of SAMPLES) await repository.addSample(sample);
  const extra = { framework: "echo" };
  await repository.write("echo", { name: "echo", implementation: "llm", parameters: { extra } });
  const onnx = (name: string, model: Uint8Array) =>
    repository.write(name, { name, implementation: "onnx", parameters: { uri: "./model.onnx" } }, model);
  await onnx("image", identity("FP32", [1, 3, 224, 224]));
  await onnx("flag", identity("BOOL", ["n", 2]));
  await onnx("ids", identity("INT64", ["n", 3]));
  const database_url = `sqlite:${repository.path("keys.db")}`;
  server = await serve(repository.root);
  prefixed = await serve(repository.root, { root_path: ROOT });
  locked = await serve(repository.root, { auth: { enabled: true, database_url } });
});
afterAll(async () => {
  for (const each of [server, prefixed, locked]) await each[Symbol.asyncDispose]();
  await repository[Symbol.asyncDispose]();
});

const documentAt = async (path: string, from = server) => (await from.get(path)).body as OpenApi;
const operationsOf = ({ paths }: OpenApi) =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
const exampleOf = ({ requestBody }: Operation) => requestBody?.content["application/json"]?.example;

/** What the OpenAPI 3.1 specification asks of a document; an empty list is a good one. */
function faults(document: OpenApi): string[] {
  const operations = operationsOf(document);
  const ids = operations.map(({ operation }) => operation.operationId);
  const schemes = Object.keys(document.components.securitySchemes);
  return [
    ...(/^3\.1\.\d+$/.test(document.openapi) ? [] : ["openapi"]),
    ...(document.info.title && document.info.version ? [] : ["info"]),
    ...ids.filter((id, index) => ids.indexOf(id) !== index).map((id) => `operationId ${id} twice`),
    ...document.security.flatMap(Object.keys).filter((name) => !schemes.includes(name)),
    ...operations.flatMap((each) => operationFaults(each)),
  ];
}

const METHODS = ["get", "post", "put", "delete", "patch"];

function operationFaults({ path, method, operation }: ReturnType<typeof operationsOf>[number]): string[] {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const given = (operation.parameters ?? []).filter((each) => each.in === "path").map(({ name }) => name);
  const wrong = {
    path: !/^(\/([\w.%-]+|\{\w+\}))+$/.test(path),
    method: !METHODS.includes(method),
    parameters: names.join() !== given.join(),
    responses: Object.entries(operation.responses).some(
      ([status, { description }]) => !/^([1-5]\d\d|default)$/.test(status) || description === "",
    ),
    body: Object.values(operation.requestBody?.content ?? {}).some(
      ({ schema }) => typeof schema !== "object" || JSON.stringify(schema).includes('"$ref"'),
    ),
  };
  return Object.entries(wrong).flatMap(([what, is]) => (is ? [`${method} ${path}: ${what}`] : []));
}

describe("the OpenAPI documents", () => {
  it.each(DOCUMENTS)("has a valid one at %s", async (path) => {
    const document = await documentAt(path);
    expect(faults(document)).toEqual([]);
    expect(operationsOf(document).length).toBeGreaterThan(3);
  });

  it("describes every route of the server", async () => {
    const document = await documentAt("/openapi.json");
    const undescribed = operationsOf(document).filter(({ operation }) => operation.tags.includes("Other"));
    expect(undescribed.map(({ operation }) => operation.summary)).toEqual([]);
    const tags = new Set(operationsOf(document).flatMap(({ operation }) => operation.tags));
    expect(new Set(document.tags?.map(({ name }) => name))).toEqual(tags);
  });

  it("writes bodies as they are checked", async () => {
    const { paths } = await documentAt("/openapi.json");
    const schema = paths["/v1/chat/completions"]!.post!.requestBody!.content["application/json"]!.schema;
    expect(schema).toMatchObject({
      type: "object",
      required: expect.arrayContaining(["messages"]),
      properties: { temperature: expect.anything(), max_tokens: expect.anything() },
    });
  });

  it("gives examples that its schemas take", async () => {
    const { paths } = await documentAt("/openapi.json");
    const bodies = operationsOf({ paths } as OpenApi).flatMap(({ path, operation }) => {
      const { schema, example } = operation.requestBody?.content["application/json"] ?? {};
      return example === undefined ? [] : [{ path, schema, example }];
    });
    expect(bodies.length).toBeGreaterThan(8);
    for (const { path, schema, example } of bodies) {
      const { error } = z.fromJSONSchema(schema as z.core.JSONSchema.JSONSchema).safeParse(example);
      expect([path, error?.message]).toEqual([path, undefined]);
    }
  });

  it("says which routes are for administrators", async () => {
    const { paths } = await documentAt("/openapi.json");
    expect(paths["/v2/repository/models/{model}/load"]!.post).toMatchObject({
      description: expect.stringContaining("administrators"),
    });
  });

  it.each([...SAMPLES, "flag", "ids", "echo"])("has a request that %s answers", async (model) => {
    const document = await documentAt(`/v2/models/${model}/openapi.json`);
    expect(faults(document)).toEqual([]);
    const examples = operationsOf(document).filter(({ operation }) => exampleOf(operation) !== undefined);
    const answers = await Promise.all(
      examples.map(async ({ path, operation }) => [
        path,
        (await server.post(path, exampleOf(operation))).status,
      ]),
    );
    const paths = [`/v2/models/${model}/infer`];
    if (model === "echo") paths.push("/v2/models/echo/generate", "/v1/chat/completions");
    expect(answers).toEqual(paths.map((path) => [path, 200]));
  });

  it("names a model's inputs with datatypes and shapes", async () => {
    const { info, paths } = await documentAt("/v2/models/iris/openapi.json");
    expect(info.title).toBe("iris (onnxruntime_onnx, version 1)");
    expect(paths["/v2/models/iris/infer"]!.post!.requestBody!.content["application/json"]).toMatchObject({
      schema: { properties: { inputs: { items: { anyOf: [{ title: "X: FP32 [-1, 4]" }] } } } },
      example: { inputs: [{ name: "X", datatype: "FP32", shape: [1, 4], data: [0, 0, 0, 0] }] },
    });
  });

  it("writes no example of a tensor too large to read", async () => {
    const { paths } = await documentAt("/v2/models/image/openapi.json");
    const body = paths["/v2/models/image/infer"]!.post!.requestBody!.content["application/json"]!;
    expect(body).toHaveProperty("schema");
    expect(body).not.toHaveProperty("example");
  });

  it.each(["docs", "openapi.json"])("has no %s of a model that is not there", async (page) => {
    const { status, body } = await server.get(`/v2/models/iri/${page}`);
    expect(status).toBe(404);
    expect(body).toEqual({ error: expect.stringContaining("iri") });
  });
});

describe("the API pages", () => {
  it.each(PAGES)("serves %s with all that it loads", async (path) => {
    for (const [from, root] of [[server, ""] as const, [prefixed, ROOT] as const]) {
      const answer = await from.request(root + path);
      const html = await answer.text();
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
      const loaded = [...html.matchAll(/(?:src|href|data-url)="([^"]*)"/g)].map(([, url]) => url!);
      expect(loaded.length).toBeGreaterThan(3);
      for (const url of loaded) {
        expect(url.startsWith(`${root}/`)).toBe(true);
        expect([url, (await from.request(url)).status]).toEqual([url, 200]);
      }
    }
  });

  it.each(PAGES)("lets %s run only scripts of its own server", async (path) => {
    const { headers } = await server.request(path);
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self';");
    expect(policy).toContain("connect-src 'self';");
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  });

  it("writes no prefix or title into its HTML as it is", () => {
    for (const page of [swaggerPage, redocPage]) {
      const { html } = page('/a"><script>', "/openapi.json", "</title><script>");
      expect(html).toContain('data-url="/a&quot;&gt;&lt;script&gt;/openapi.json"');
      expect(html.match(/<script[^>]*>/g)).toHaveLength(2);
    }
  });

  it("names its prefix as the server of the documents", async () => {
    for (const path of DOCUMENTS) {
      expect((await documentAt(path)).servers).toEqual([{ url: "/" }]);
      expect((await documentAt(ROOT + path, prefixed)).servers).toEqual([{ url: ROOT }]);
    }
  });

  it.each([
    ["swagger-ui.css", "text/css; charset=utf-8"],
    ["swagger-ui-bundle.js", "text/javascript; charset=utf-8"],
    ["redoc.standalone.js", "text/javascript; charset=utf-8"],
    ["redoc.js", "text/javascript; charset=utf-8"],
    ["favicon-32x32.png", "image/png"],
  ])("serves %s to be kept for a day", async (file, type) => {
    const answer = await server.request(`/docs/assets/${file}`);
    expect((await answer.bytes()).length).toBeGreaterThan(50);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": type,
      "cache-control": "public, max-age=86400",
      "x-content-type-options": "nosniff",
    });
  });

  it.each(["nothing.js", "toString", "package.json", "..%2fassets.ts", "%2fetc%2fpasswd"])(
    "has no asset %s",
    async (file) => {
      expect((await server.request(`/docs/assets/${file}`)).status).toBe(404);
    },
  );

  it("is open where everything else asks for a key", async () => {
    for (const path of [...PAGES, ...DOCUMENTS, "/docs/assets/swagger.js"]) {
      expect([path, (await locked.request(path)).status]).toEqual([path, 200]);
    }
    expect((await locked.get("/v2/models/iris")).status).toBe(401);
    const { components } = await documentAt("/openapi.json", locked);
    expect(components.securitySchemes).toMatchObject({
      bearer: { type: "http", scheme: "bearer" },
      key: { type: "apiKey", in: "header", name: "X-API-Key" },
    });
  });
});
