import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import http from "../../resolvers/http/index.ts";
import { resolverContract } from "../../src/testing/index.ts";
import { tgzOf } from "./support/archives.ts";
import { fetchWith, locateWith } from "./support/fetching-host.ts";
import { cutAfter, etagOf, FileServer, file, redirect, sha256, status } from "./support/file-server.ts";

let server: FileServer;
let content = "weights";

beforeAll(async () => {
  server = await FileServer.start();
});
beforeEach(() => {
  content = "weights";
  server.routes.clear();
  server.routes.set(
    "/models/iris%20v1.onnx",
    file(() => content),
  );
  server.requests.length = 0;
});
afterAll(() => server?.[Symbol.asyncDispose]());

const OPTIONS = { allow_private: true, max_retries: 0 };
const locate = (uri: string, options: object = {}) => locateWith(http, uri, { ...OPTIONS, ...options });
const fetched = (uri: string, options: object = {}) => fetchWith(http, uri, { ...OPTIONS, ...options });

describe("contract", () => {
  const cases = resolverContract(http, {
    options: { allow_private: true },
    uri: () => server.url("/models/iris%20v1.onnx"),
    files: { "iris v1.onnx": "weights" },
    missing: () => server.url("/absent.onnx"),
    malformed: () => "http://user:secret@host/model.onnx",
    broken: () => {
      server.routes.set("/broken.onnx", status(500));
      return server.url("/broken.onnx");
    },
    change: async () => {
      content = "other weights";
    },
  });
  for (const { name, run } of cases) it(name, run);
});

describe("contract for an archive", () => {
  const archive = tgzOf(
    { path: "model.onnx", content: "weights" },
    { path: "more/notes.txt", content: "text" },
  );
  const cases = resolverContract(http, {
    options: { allow_private: true },
    uri: () => {
      server.routes.set(
        "/iris.tar.gz",
        file(() => archive),
      );
      return server.url("/iris.tar.gz");
    },
    files: { "model.onnx": "weights", "more/notes.txt": "text" },
    missing: () => server.url("/absent.tar.gz"),
    malformed: () => "https://host/model.onnx#sha256=12",
  });
  for (const { name, run } of cases) it(name, run);
});

describe("locate", () => {
  it("costs one request without a body", async () => {
    const located = await locate(server.url("/models/iris%20v1.onnx"));
    expect(located).toMatchObject({ version: "", revision: `etag:${etagOf("weights")}` });
    expect(server.seen).toEqual(["HEAD /models/iris%20v1.onnx"]);
  });

  it("takes time and length where there is no ETag", async () => {
    const modified = "Wed, 21 Oct 2015 07:28:00 GMT";
    server.routes.set("/a", status(200, { "last-modified": modified, "content-length": "3" }));
    expect((await locate(server.url("/a"))).revision).toBe(`modified:${modified};3`);
  });

  it("reads the content where the server says nothing of it", async () => {
    server.routes.set("/a", status(200, {}, "one"));
    expect((await locate(server.url("/a"))).revision).toBe(`content:${sha256("one")}`);
    expect(await fetched(server.url("/a"))).toEqual({ a: "one" });
  });

  it("fails when that content breaks off, or is not given", async () => {
    const half = cutAfter(2, Buffer.from("0123456789"));
    server.routes.set("/a", (request, response) =>
      request.method === "HEAD" ? status(200)(request, response) : half(request, response),
    );
    await expect(locate(server.url("/a"))).rejects.toMatchObject({ code: "UPSTREAM" });
    server.routes.set("/a", (request, response) =>
      status(request.method === "HEAD" ? 200 : 403)(request, response),
    );
    await expect(locate(server.url("/a"))).rejects.toThrow("answered 403");
  });

  it("asks with GET where HEAD is not known", async () => {
    const plain = file(() => content);
    server.routes.set("/a", (request, response) =>
      request.method === "HEAD" ? status(405)(request, response) : plain(request, response),
    );
    expect((await locate(server.url("/a"))).revision).toBe(`etag:${etagOf("weights")}`);
  });

  it("has the pin as its revision", async () => {
    const uri = `${server.url("/models/iris%20v1.onnx")}#sha256=${sha256("weights")}`;
    expect((await locate(uri)).revision).toBe(`sha256:${sha256("weights")}`);
  });

  it.each([
    [401, "UPSTREAM", /answered 401. Check token and headers/],
    [403, "UPSTREAM", /answered 403. Check that token/],
    [410, "NOT_FOUND", /there is no such file/],
    [418, "UPSTREAM", /answered 418$/],
    [500, "UPSTREAM", /answered 500. The server there has a fault/],
  ])("says what %i means", async (code, error, message) => {
    server.routes.set("/a", status(code));
    const failed = locate(`${server.url("/a")}?signature=secret`);
    await expect(failed).rejects.toMatchObject({ code: error, message: expect.stringMatching(message) });
    await expect(failed).rejects.not.toThrow("secret");
  });

  it("refuses a web page, an encoding and a file that is too large", async () => {
    server.routes.set("/page.onnx", status(200, { "content-type": "text/html; charset=utf-8" }, "<html>"));
    await expect(locate(server.url("/page.onnx"))).rejects.toThrow("answered with a web page");
    server.routes.set("/encoded.onnx", status(200, { "content-encoding": "br" }, "x"));
    await expect(locate(server.url("/encoded.onnx"))).rejects.toThrow("content-encoding br");
    await expect(locate(server.url("/models/iris%20v1.onnx"), { max_bytes: 3 })).rejects.toThrow("7 bytes");
  });

  it.each([
    ["http://", /is not an address/],
    ["http://h/a#part", /may have only sha256=/],
    [`http://h/a#sha256=${"0".repeat(64)}`, /different digests/],
  ])("refuses %s", async (uri, message) => {
    const failed = locate(uri, { sha256: "1".repeat(64) });
    await expect(failed).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(message),
    });
  });

  it("says when nobody listens", async () => {
    const gone = await FileServer.start();
    const uri = gone.url("/a");
    await gone[Symbol.asyncDispose]();
    await expect(locate(uri)).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringMatching(/nothing listens/),
    });
  });

  it("gives up on a server that does not answer", async () => {
    server.routes.set("/a", () => {});
    await expect(locate(server.url("/a"), { idle_timeout: "50ms" })).rejects.toThrow("no answer in time");
  });
});

describe("redirects", () => {
  it("keeps credentials to the first host", async () => {
    await using other = await FileServer.start();
    other.routes.set(
      "/b.onnx",
      file(() => content),
    );
    server.routes.set("/a.onnx", redirect("/aa.onnx"));
    server.routes.set("/aa.onnx", redirect(other.url("/b.onnx"), 307));
    const options = { token: "secret", headers: { "x-key": "secret too" } };
    expect(await fetched(server.url("/a.onnx"), options)).toEqual({ "a.onnx": "weights" });
    for (const { headers } of server.requests) {
      expect(headers).toMatchObject({ authorization: "Bearer secret", "x-key": "secret too" });
    }
    expect(other.requests).toHaveLength(2);
    for (const { rawHeaders } of other.requests) expect(rawHeaders.join("\n")).not.toContain("secret");
  });

  it.each([
    ["a circle", "/a", "redirects in a circle"],
    ["another protocol", "ftp://host/a", "what is no http address"],
  ])("refuses %s", async (_, target, message) => {
    server.routes.set("/a", redirect(target));
    await expect(locate(server.url("/a"))).rejects.toMatchObject({
      code: "UPSTREAM",
      message: expect.stringContaining(message),
    });
  });

  it("refuses more than max_redirects", async () => {
    for (let hop = 0; hop < 9; hop++) server.routes.set(`/${hop}`, redirect(`/${hop + 1}`));
    await expect(locate(server.url("/0"), { max_redirects: 3 })).rejects.toThrow("is redirect number 4");
  });
});
