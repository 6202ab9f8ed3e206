import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import unityCatalog from "../../resolvers/unity-catalog/index.ts";
import { resolverContract, testCall, testHost } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { FakeUnityCatalog } from "./support/fake-unity-catalog.ts";
import { fetchingHost, fetchWith, locateWith, opened } from "./support/fetching-host.ts";
import { FileServer, json, status } from "./support/file-server.ts";

let catalog: FakeUnityCatalog;
let disk: Files;

const storage = (version: number) => pathToFileURL(disk.path(`versions/${version}`)).href;

beforeAll(async () => {
  catalog = await FakeUnityCatalog.start();
  disk = await Files.create({
    "versions/1/model.onnx": "one",
    "versions/2/model.onnx": "two",
    "versions/3/model.onnx": "three",
  });
});
beforeEach(() => {
  catalog.databricks = false;
  catalog.comment = JSON.stringify({ aliases: { champion: 1, odd: "x" } });
  catalog.aliases = { champion: 1, production: 2 };
  catalog.versions = [
    { version: 1, storage_location: storage(1) },
    { version: 2, storage_location: storage(2), id: "other" },
    { version: 3, storage_location: storage(3), status: "PENDING_REGISTRATION" },
  ];
  catalog.tokens = [];
  catalog.files = {};
  catalog.pageSize = 100;
  catalog.server.requests.length = 0;
  catalog.bodies.length = 0;
});
afterAll(async () => {
  await catalog?.[Symbol.asyncDispose]();
  await disk?.[Symbol.asyncDispose]();
});

const IRIS = "uc://main.ml.iris";
const locate = (uri: string, options: Record<string, unknown> = {}) =>
  locateWith(unityCatalog, uri, { registry: catalog.registry, ...options });
const fetched = (uri: string, options: Record<string, unknown> = {}, host = fetchingHost) =>
  fetchWith(unityCatalog, uri, { registry: catalog.registry, ...options }, host);

describe("contract with the open source server, a fake of its recorded answers", () => {
  const cases = resolverContract(unityCatalog, {
    get options() {
      return { registry: catalog?.registry ?? "http://127.0.0.1:1" };
    },
    host: fetchingHost,
    uri: () => `${IRIS}@champion`,
    files: { "model.onnx": "one" },
    missing: () => "uc://main.ml.absent/1",
    malformed: () => "uc://iris@champion",
    broken: () => {
      catalog.versions = [{ version: 1, storage_location: "file:///nowhere/at/all" }];
      return `${IRIS}/1`;
    },
    change: async () => {
      catalog.comment = JSON.stringify({ aliases: { champion: 2 } });
    },
  });
  for (const { name, run } of cases) it(name, run);
});

describe("contract with Databricks, a fake of its documentation", () => {
  const cases = resolverContract(unityCatalog, {
    get options() {
      return { registry: catalog?.registry ?? "http://127.0.0.1:1", token: "personal", access: "files" };
    },
    host: fetchingHost,
    uri: () => {
      catalog.databricks = true;
      catalog.tokens = ["personal"];
      catalog.versions = [1, 2].map((version) => ({ version, storage_location: `s3://bucket/${version}` }));
      catalog.files = { "1/model.onnx": "one", "1/more/notes é.txt": "text", "2/model.onnx": "two" };
      return `${IRIS}@champion`;
    },
    files: { "model.onnx": "one", "more/notes é.txt": "text" },
    missing: () => `${IRIS}@nobody`,
    malformed: () => `${IRIS}/1/2`,
    change: async () => {
      catalog.aliases.champion = 2;
    },
  });
  for (const { name, run } of cases) it(name, run);
});

describe("which version", () => {
  it.each([
    [`${IRIS}/2`, "2"],
    [`${IRIS}@latest`, "2"],
    [IRIS, "2"],
    [`${IRIS}?stage=Production`, "2"],
    [`${IRIS}@champion`, "1"],
  ])("%s is %s on Databricks", async (uri, version) => {
    catalog.databricks = true;
    expect(await locate(uri)).toMatchObject({
      version,
      location: `${IRIS}/${version}`,
      path: disk.path(`versions/${version}`),
    });
  });

  it("is the highest that is ready, of every page", async () => {
    catalog.pageSize = 1;
    expect(await locate(`${IRIS}@latest`)).toMatchObject({ version: "2" });
    catalog.versions = [];
    await expect(locate(`${IRIS}@latest`)).rejects.toThrow("has no version that is READY");
  });

  it("is not taken before it is READY", async () => {
    await expect(locate(`${IRIS}/3`)).rejects.toMatchObject({
      code: "NOT_READY",
      message: "Version 3 of 'main.ml.iris' is PENDING_REGISTRATION in the registry, not READY",
    });
  });

  it.each(["nobody", "odd"])(
    "is not known for the alias %s, and the way to say it is named",
    async (alias) => {
      await expect(locate(`${IRIS}@${alias}`)).rejects.toMatchObject({
        code: "NOT_FOUND",
        message: expect.stringContaining(`make the model's comment {"aliases": {"${alias}": 1}}`),
      });
    },
  );

  it("is not known where the comment is prose", async () => {
    catalog.comment = "hello";
    await expect(locate(`${IRIS}@champion`)).rejects.toMatchObject({ code: "NOT_FOUND" });
    catalog.comment = "[1]";
    await expect(locate(`${IRIS}@champion`)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("keeps its revision when only the comment changes", async () => {
    const before = await locate(`${IRIS}/1`);
    catalog.comment = "something else";
    expect(await locate(`${IRIS}/1`)).toEqual(before);
  });

  it.each(["uc://main.ml", `${IRIS}/x`, `${IRIS}@`, `${IRIS}?stage=`])("refuses %s", async (uri) => {
    await expect(locate(uri)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("where the files are", () => {
  /** A host that notes what it is asked to fetch. */
  function noting() {
    const asked: unknown[] = [];
    const host = testHost({
      fetch: async (uri, _directory, _call, options) => void asked.push([uri, options]),
    });
    return { asked, host };
  }

  const keys = { access_key_id: "id", secret_access_key: "key", session_token: "session" };

  it("reads S3 with the credentials that the registry gives", async () => {
    catalog.versions = [{ version: 1, storage_location: "s3://bucket/iris/v1" }];
    catalog.credentials = { status: 200, body: { aws_temp_credentials: keys, expiration_time: 1 } };
    const { asked, host } = noting();
    await fetched(`${IRIS}/1`, { storage: { region: "eu-west-1" } }, host);
    expect(asked).toEqual([["s3://bucket/iris/v1/", { region: "eu-west-1", ...keys }]]);
    expect(JSON.parse(catalog.bodies.at(-1)!)).toEqual({
      catalog_name: "main",
      schema_name: "ml",
      model_name: "iris",
      version: 1,
      operation: "READ_MODEL_VERSION",
    });
  });

  it("reads R2 at the account's own address", async () => {
    catalog.versions = [{ version: 1, storage_location: "r2://bucket@account.r2.cloudflarestorage.com/v1" }];
    catalog.credentials = { status: 200, body: { r2_temp_credentials: keys } };
    const { asked, host } = noting();
    await fetched(`${IRIS}/1`, {}, host);
    const endpoint = "https://account.r2.cloudflarestorage.com";
    expect(asked).toEqual([["s3://bucket/v1/", { endpoint, region: "auto", ...keys }]]);
  });

  it("reads Azure with a SAS", async () => {
    await using azure = await FileServer.start();
    azure.routes.set("/container", (request, response) => {
      const { searchParams } = new URL(request.url!, "http://host");
      const second = searchParams.get("continuation") === "more";
      const paths = second
        ? [{ name: "iris/v1/more/a b.txt" }]
        : [
            { name: "iris/v1/more", isDirectory: "true" },
            { name: "iris/v1/model.onnx", isDirectory: "false" },
          ];
      const headers: Record<string, string> = second ? {} : { "x-ms-continuation": "more" };
      response.writeHead(searchParams.get("sig") === "abc" ? 200 : 403, headers);
      response.end(JSON.stringify({ paths }));
    });
    azure.routes.set("/container/iris/v1/model.onnx", status(200, { etag: '"1"' }, "weights"));
    azure.routes.set("/container/iris/v1/more/a%20b.txt", status(200, { etag: '"2"' }, "text"));
    const storage_location = "abfss://container@account.dfs.core.windows.net/iris/v1";
    catalog.versions = [{ version: 1, storage_location }];
    catalog.credentials = { status: 200, body: { azure_user_delegation_sas: { sas_token: "sv=1&sig=abc" } } };
    const options = { storage: { endpoint: azure.url("") } };
    expect(await fetched(`${IRIS}/1`, options)).toEqual({ "model.onnx": "weights", "more/a b.txt": "text" });
    catalog.credentials = {
      status: 200,
      body: { azure_user_delegation_sas: { sas_token: "sv=1&sig=wrong" } },
    };
    const failed = fetched(`${IRIS}/1`, options);
    await expect(failed).rejects.toThrow("answered 403 to the registry's temporary credentials");
    await expect(failed).rejects.not.toThrow("wrong");
  });

  it("reads Google's storage with a token", async () => {
    await using google = await FileServer.start();
    google.routes.set("/storage/v1/b/bucket/o", (request, response) => {
      const more = request.url!.includes("pageToken=2");
      const names = more ? ["iris/v1/more/a"] : ["iris/v1/", "iris/v1/model.onnx"];
      const next = more ? {} : { nextPageToken: "2" };
      return json({ items: names.map((name) => ({ name })), ...next })(request, response);
    });
    google.routes.set(
      "/storage/v1/b/bucket/o/iris%2Fv1%2Fmodel.onnx",
      status(200, { etag: '"1"' }, "weights"),
    );
    google.routes.set("/storage/v1/b/bucket/o/iris%2Fv1%2Fmore%2Fa", status(200, { etag: '"2"' }, "text"));
    catalog.versions = [{ version: 1, storage_location: "gs://bucket/iris/v1" }];
    catalog.credentials = { status: 200, body: { gcp_oauth_token: { oauth_token: "google-token" } } };
    const options = { token: "personal", storage: { endpoint: google.url("") } };
    expect(await fetched(`${IRIS}/1`, options)).toEqual({ "model.onnx": "weights", "more/a": "text" });
    for (const { headers } of google.requests) expect(headers.authorization).toBe("Bearer google-token");
    await expect(fetched(`${IRIS}/1`, { ...options, max_files: 1 })).rejects.toThrow("more than 1 files");
  });

  it("refuses a listing that leads elsewhere", async () => {
    await using google = await FileServer.start();
    google.routes.set("/storage/v1/b/bucket/o", json({ items: [{ name: "iris/v1/../../evil" }] }));
    catalog.versions = [{ version: 1, storage_location: "gs://bucket/iris/v1" }];
    catalog.credentials = { status: 200, body: { gcp_oauth_token: { oauth_token: "t" } } };
    const failed = fetched(`${IRIS}/1`, { storage: { endpoint: google.url("") } });
    await expect(failed).rejects.toThrow("which is no path below iris/v1");
  });

  it("says which credentials it cannot use, and where a location is none", async () => {
    catalog.versions = [{ version: 1, storage_location: "wasbs://old" }];
    catalog.credentials = { status: 200, body: { azure_aad: { aad_token: "x" } } };
    await expect(fetched(`${IRIS}/1`)).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(/gives azure_aad for wasbs:\/\/old.*access to files/),
    });
    for (const kind of ["r2_temp_credentials", "azure_user_delegation_sas", "gcp_oauth_token"]) {
      catalog.credentials = { status: 200, body: { [kind]: {} } };
      await expect(fetched(`${IRIS}/1`)).rejects.toMatchObject({ code: "UPSTREAM" });
    }
  });

  it("takes the Files API where there are no credentials", async () => {
    catalog.versions = [{ version: 1, storage_location: "s3://bucket/iris" }];
    catalog.credentials = {
      status: 403,
      body: { error_code: "PERMISSION_DENIED", message: "no EXTERNAL USE SCHEMA" },
    };
    catalog.files = { "1/model.onnx": "weights" };
    expect(await fetched(`${IRIS}/1`)).toEqual({ "model.onnx": "weights" });
    const refused = fetched(`${IRIS}/1`, { access: "credentials" });
    await expect(refused).rejects.toThrow("PERMISSION_DENIED: no EXTERNAL USE SCHEMA");
    catalog.files = {};
    await expect(fetched(`${IRIS}/1`)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});

describe("who asks", () => {
  it("says what to check when the token is wrong", async () => {
    catalog.tokens = ["right"];
    await expect(locate(`${IRIS}/1`, { token: "wrong" })).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringMatching(/answered 401 UNAUTHENTICATED.*Check token/),
    });
  });

  it("gets a token for a service principal, and keeps it until it is refused", async () => {
    const principal = { client_id: "principal", client_secret: "secret" };
    catalog.tokens = ["another"];
    const count = () => catalog.server.seen.filter((line) => line.includes("/oidc/")).length;
    await locate(`${IRIS}/1`, principal);
    await locate(`${IRIS}/2`, principal);
    expect(count()).toBe(1);
    catalog.tokens = ["another"];
    await expect(locate(`${IRIS}/1`, principal)).rejects.toMatchObject({ code: "UPSTREAM" });
    await locate(`${IRIS}/1`, principal);
    expect(count()).toBe(2);
    const wrong = locate(`${IRIS}/1`, { ...principal, client_secret: "wrong" });
    await expect(wrong).rejects.toThrow("Client authentication failed. Check client_id and client_secret");
  });

  it("takes Databricks' own variables", async () => {
    catalog.tokens = ["from the environment"];
    vi.stubEnv("DATABRICKS_HOST", catalog.registry);
    vi.stubEnv("DATABRICKS_TOKEN", "from the environment");
    expect(await locateWith(unityCatalog, `${IRIS}/1`, {})).toMatchObject({ version: "1" });
    vi.stubEnv("DATABRICKS_TOKEN", "");
    vi.stubEnv("DATABRICKS_CLIENT_ID", "principal");
    vi.stubEnv("DATABRICKS_CLIENT_SECRET", "secret");
    catalog.tokens.push("token-1");
    expect(await locateWith(unityCatalog, `${IRIS}/1`, {})).toMatchObject({ version: "1" });
    vi.unstubAllEnvs();
  });

  it.each([
    [{}, "address of the Unity Catalog is missing"],
    [{ registry: "ftp://host" }, "is not an address"],
    [
      { registry: "https://ann:p4ss@host" },
      "https://host holds a user or a password: put them into parameters.extra.source as token",
    ],
  ])("refuses %j", async (options, message) => {
    vi.stubEnv("DATABRICKS_HOST", undefined);
    await expect(locateWith(unityCatalog, `${IRIS}/1`, options)).rejects.toThrow(message);
    vi.unstubAllEnvs();
  });

  it("wants one way to authenticate", () => {
    for (const wrong of [{ client_id: "a" }, { token: "t", client_id: "a", client_secret: "b" }]) {
      expect(unityCatalog.options.safeParse(wrong).success).toBe(false);
    }
  });
});

describe("a registry with faults", () => {
  async function against(handler: Parameters<FileServer["routes"]["set"]>[1], options = {}) {
    await using server = await FileServer.start();
    server.routes.get = () => handler;
    return await locateWith(unityCatalog, `${IRIS}/1`, { registry: server.url(""), ...options });
  }

  it.each([
    ["a web page", status(200, {}, "<html>"), /answered 200 and no JSON: is .* a Unity Catalog\?/],
    ["a login page", status(403, {}, "<html>"), /answered 403 and no JSON. Check token/],
    ["a fault", json({ error_code: "INTERNAL", message: "broken" }, 500), /answered 500 INTERNAL: broken$/],
    ["a redirect", status(302, { location: "http://elsewhere/" }), /answered 302/],
    ["a version without a number", json({ status: "READY" }), /without a number/],
  ])("answers UPSTREAM for %s", async (_, handler, message) => {
    await expect(against(handler)).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringMatching(message),
    });
  });

  it("answers UPSTREAM for one that is slow, cut or gone", async () => {
    await expect(against(() => {}, { timeout: "50ms" })).rejects.toThrow("no answer in time");
    await expect(against((_, response) => response.destroy())).rejects.toMatchObject({ code: "UPSTREAM" });
    await expect(locate(`${IRIS}/1`, { registry: "http://127.0.0.1:1" })).rejects.toMatchObject({
      code: "UPSTREAM",
    });
  });

  it("answers UPSTREAM where aliases alone fail", async () => {
    const broken = status(502, {}, "bad gateway");
    await using server = await FileServer.start();
    server.routes.get = () => broken;
    const failed = locateWith(unityCatalog, `${IRIS}@champion`, { registry: server.url("") });
    await expect(failed).rejects.toMatchObject({ code: "UPSTREAM" });
  });

  it("stops the other files when one fails", async () => {
    catalog.versions = [{ version: 1, storage_location: "s3://bucket/iris" }];
    catalog.files = { "1/a": "1", "1/b": "2" };
    const host = testHost({ fetch: () => Promise.reject(new Error("disk full")) });
    await using resolver = await opened(unityCatalog, { registry: catalog.registry, access: "files" }, host);
    const located = await resolver.locate(`${IRIS}/1`, testCall());
    await using folder = await Files.create();
    await expect(resolver.fetch(located, folder.root, testCall())).rejects.toThrow("disk full");
  });
});
