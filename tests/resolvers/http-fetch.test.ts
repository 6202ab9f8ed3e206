import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import http from "../../resolvers/http/index.ts";
import { testCall } from "../../src/testing/index.ts";
import { Files } from "../support/files.ts";
import { zipOf } from "./support/archives.ts";
import { fetchWith, opened } from "./support/fetching-host.ts";
import { cutAfter, etagOf, FileServer, file, rangeStart, sha256, status } from "./support/file-server.ts";

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
const fetched = (uri: string, options: object = {}, call = testCall()) =>
  fetchWith(http, uri, { ...OPTIONS, ...options }, undefined, call);
const open = (options: object) => opened(http, { ...OPTIONS, ...options });

it("calls the file what the option says", async () => {
  expect(await fetched(server.url("/models/iris%20v1.onnx"), { filename: "model.onnx" })).toEqual({
    "model.onnx": "weights",
  });
});

it("calls it model where neither says", async () => {
  server.routes.set(
    "/",
    file(() => content),
  );
  server.routes.set(
    "/%2Fa",
    file(() => content),
  );
  server.routes.set(
    "/%zz",
    file(() => content),
  );
  expect(await fetched(server.url("/"))).toEqual({ model: "weights" });
  expect(await fetched(server.url("/%2Fa"))).toEqual({ model: "weights" });
  expect(await fetched(server.url("/%zz"))).toEqual({ "%zz": "weights" });
});

it("compares the digest, and names both", async () => {
  const uri = server.url("/models/iris%20v1.onnx");
  expect(await fetched(uri, { sha256: sha256("weights").toUpperCase() })).toEqual({
    "iris v1.onnx": "weights",
  });
  await expect(fetched(uri, { sha256: sha256("others") })).rejects.toMatchObject({
    code: "UPSTREAM",
    message: expect.stringContaining(
      `has the sha256 ${sha256("weights")}, and ${sha256("others")} was asked for`,
    ),
  });
});

it("goes on where a connection broke", async () => {
  const bytes = Buffer.from("0123456789");
  server.routes.set("/a.bin", cutAfter(4, bytes));
  expect(await fetched(server.url("/a.bin"), { max_retries: 3 })).toEqual({ "a.bin": "0123456789" });
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([
    undefined,
    undefined,
    "bytes=4-",
    "bytes=8-",
  ]);
  expect(server.requests[2]!.headers["if-range"]).toBe(etagOf(bytes));
});

it("fails when half a file is all that comes", async () => {
  server.routes.set("/a.bin", cutAfter(4, Buffer.from("0123456789")));
  await expect(fetched(server.url("/a.bin"))).rejects.toMatchObject({ code: "UPSTREAM" });
});

it("starts again where the server takes no ranges", async () => {
  const whole = file(() => "0123456789");
  let asked = 0;
  server.routes.set("/a.bin", (request, response) => {
    if (request.method === "GET" && asked++ === 0)
      return cutAfter(4, Buffer.from("0123456789"))(request, response);
    request.headers["if-range"] = undefined;
    return whole(request, response);
  });
  expect(await fetched(server.url("/a.bin"), { max_retries: 1 })).toEqual({ "a.bin": "0123456789" });
});

it("starts again after 416", async () => {
  const cut = cutAfter(4, Buffer.from("0123456789"));
  let asked = 0;
  server.routes.set("/a.bin", (request, response) => {
    if (request.method === "GET" && asked++ === 0) return cut(request, response);
    if (rangeStart(request) > 0) return status(416)(request, response);
    return file(() => "0123456789")(request, response);
  });
  expect(await fetched(server.url("/a.bin"), { max_retries: 2 })).toEqual({ "a.bin": "0123456789" });
});

it("refuses another range than it asked for, and another length than was promised", async () => {
  const bytes = Buffer.from("0123456789");
  const cut = cutAfter(4, bytes);
  server.routes.set("/a.bin", (request, response) => {
    if (rangeStart(request) === 0) return cut(request, response);
    const headers = { "content-range": "bytes 0-9/10", etag: etagOf(bytes) };
    return status(206, headers, "0123456789")(request, response);
  });
  await expect(fetched(server.url("/a.bin"), { max_retries: 1 })).rejects.toThrow("another range of bytes");
  server.routes.set("/b.bin", (request, response) => {
    if (rangeStart(request) === 0) return cut(request, response);
    const headers = { "content-range": "bytes 4-9/20", etag: etagOf(bytes) };
    return status(206, headers, "456789")(request, response);
  });
  await expect(fetched(server.url("/b.bin"), { max_retries: 1 })).rejects.toThrow("gave 10 of 20 bytes");
});

it("takes a file whose validators differ between HEAD and GET, as MLflow's do", async () => {
  server.routes.set("/a", ({ method }, response) => {
    response.writeHead(200, { etag: `"of ${method}"` });
    response.end(method === "HEAD" ? "" : "weights");
  });
  expect(await fetched(server.url("/a"))).toEqual({ a: "weights" });
});

it("tries again after a 503, and not after a 404", async () => {
  const answers = [503, 404];
  server.routes.set("/a.bin", (request, response) =>
    request.method === "HEAD"
      ? file(() => content)(request, response)
      : status(answers.shift() ?? 200)(request, response),
  );
  await expect(fetched(server.url("/a.bin"), { max_retries: 5 })).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
  expect(answers).toEqual([]);
});

it("fails when the file changed since it was located", async () => {
  await using resolver = await open({});
  await using folder = await Files.create();
  const located = await resolver.locate(server.url("/models/iris%20v1.onnx"), testCall());
  content = "changed";
  await expect(resolver.fetch(located, folder.root, testCall())).rejects.toThrow(
    "changed while it was being",
  );
});

it("fails when a file without validators changed", async () => {
  server.routes.set("/a", (request, response) => status(200, {}, content)(request, response));
  await using resolver = await open({});
  await using folder = await Files.create();
  const located = await resolver.locate(server.url("/a"), testCall());
  content = "changed";
  await expect(resolver.fetch(located, folder.root, testCall())).rejects.toThrow(
    "changed while it was being",
  );
});

it("stops when more comes than max_bytes", async () => {
  server.routes.set("/a", (request, response) => {
    response.writeHead(200, { etag: '"1"' });
    response.end(request.method === "HEAD" ? "" : "x".repeat(100));
  });
  await expect(fetched(server.url("/a"), { max_bytes: 10 })).rejects.toThrow("larger than max_bytes, 10");
});

it("gives up on an answer that stops coming", async () => {
  server.routes.set("/a", (request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "10" });
    if (request.method === "HEAD") response.end();
    else response.write("half");
  });
  await expect(fetched(server.url("/a"), { idle_timeout: "100ms" })).rejects.toThrow("stopped coming");
});

it("leaves with the signal's reason in the middle of an answer, and between two attempts", async () => {
  const aborting = new AbortController();
  server.routes.set("/a", (request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "10" });
    if (request.method === "HEAD") return response.end();
    response.write("half", () => aborting.abort(new Error("enough")));
  });
  const call = testCall({ signal: aborting.signal });
  await expect(fetched(server.url("/a"), {}, call)).rejects.toThrow("enough");

  const second = new AbortController();
  const log = { ...testCall().log, warn: () => second.abort(new Error("enough, again")) };
  server.routes.set("/b", cutAfter(2, Buffer.from("0123456789")));
  const waiting = fetched(server.url("/b"), { max_retries: 9 }, testCall({ signal: second.signal, log }));
  await expect(waiting).rejects.toThrow("enough, again");
});

it("answers INTERNAL when the disk cannot take it", async () => {
  await using resolver = await open({ filename: "taken" });
  await using folder = await Files.create({ "taken/inside": "" });
  const located = await resolver.locate(server.url("/models/iris%20v1.onnx"), testCall());
  await expect(resolver.fetch(located, folder.root, testCall())).rejects.toMatchObject({
    code: "INTERNAL",
  });
});

it("keeps an archive whole where it is told to", async () => {
  const archive = zipOf({ path: "a", content: "b" });
  server.routes.set(
    "/a.zip",
    file(() => archive),
  );
  expect(Object.keys(await fetched(server.url("/a.zip"), { unpack: false }))).toEqual(["a.zip"]);
  expect(await fetched(server.url("/a.zip"))).toEqual({ a: "b" });
});
